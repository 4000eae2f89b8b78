import { randomUUID } from 'node:crypto'
import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Prefix of the names of files and folders that are being written. After a crash `removeUnfinished` removes them. */
export const WRITING_PREFIX = '.writing-'

export interface AtomicWriteOptions {
  /**
   * Hidden name behind the prefix. Default: a random one. With a fixed name only one caller may write at a time;
   * leftovers of an earlier attempt are replaced.
   */
  name?: string
  /** Moves the finished file or folder to its place. Default: a rename. */
  publish?: (writing: string, path: string) => Promise<void>
}

/** Lets `write` create a file or folder under a hidden name beside `path`, then renames it. A failure leaves no file. */
export async function writeAtomically(
  path: string,
  write: (writing: string) => Promise<void>,
  { name, publish = rename }: AtomicWriteOptions = {},
): Promise<void> {
  const writing = join(dirname(path), `${WRITING_PREFIX}${name ?? randomUUID()}`)
  if (name !== undefined) await rm(writing, { recursive: true, force: true })
  try {
    await write(writing)
    await publish(writing, path)
  } catch (error) {
    await rm(writing, { recursive: true, force: true }).catch(() => {})
    throw error
  }
}

/** Replaces a file of this server atomically; the file is readable for its owner only. */
export function writeFileAtomically(
  path: string,
  content: string,
  { isFlushed = false }: { isFlushed?: boolean } = {},
): Promise<void> {
  return writeAtomically(path, (writing) => writeFile(writing, content, { mode: 0o600, flush: isFlushed }))
}

/** Removes files and folders that a crash left half-written in `dir`. */
export async function removeUnfinished(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => []))
    if (name.startsWith(WRITING_PREFIX)) await rm(join(dir, name), { recursive: true, force: true })
}
