import { randomUUID } from 'node:crypto'
import { readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Begins the names of files and folders that are being written. A crash leaves them for `removeUnfinished`. */
export const WRITING_PREFIX = '.writing-'

export interface AtomicWriteOptions {
  /**
   * Hidden name behind the prefix. Default: a random one. With a fixed name only one caller may write at a time, and
   * replaces what a crash left of an earlier attempt.
   */
  name?: string
  /** Moves the finished file or folder to its place. Default: a rename. */
  publish?: (writing: string, path: string) => Promise<void>
}

/** Lets `write` make a file or folder under a hidden name beside `path`, then renames it. Nothing is left when it fails. */
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

/** Replaces a file of this server as a whole; it is readable for its owner only. */
export function writeFileAtomically(
  path: string,
  content: string,
  { isFlushed = false }: { isFlushed?: boolean } = {},
): Promise<void> {
  return writeAtomically(path, (writing) => writeFile(writing, content, { mode: 0o600, flush: isFlushed }))
}

/** Removes what a crash left half written in a folder. */
export async function removeUnfinished(dir: string): Promise<void> {
  for (const name of await readdir(dir).catch(() => []))
    if (name.startsWith(WRITING_PREFIX)) await rm(join(dir, name), { recursive: true, force: true })
}
