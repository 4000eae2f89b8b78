import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { PassThrough, pipeline, Transform, type TransformCallback, type Writable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { SandlotError } from '@sandlot/protocol'
import { extract, type Header } from 'tar-stream'

export interface ArchiveLimits {
  maxEntries: number
  /** Of everything that is unpacked. */
  maxBytes: number
}

/** Of long names, and of the zeros behind the end, which some programs pad to megabytes and which gzip shrinks to nothing. */
const MAX_BETWEEN_BYTES = 16 * 2 ** 20

const KINDS = new Set<Header['type']>(['file', 'directory', 'symlink', 'link', 'contiguous-file'])

/**
 * Reads through the files of a COPY, a tar that may be gzipped, without unpacking them.
 * @throws SandlotError invalid_request naming the entry: a path that leads out of the context folder, a device, too
 * much, or no tar at all
 */
export async function checkArchive(file: string, limits: ArchiveLimits): Promise<void> {
  const unpack = extract()
  const source = createReadStream(file)
  const between = new BytesBetween()
  const plain = (await isGzip(file)) ? createGunzip() : new PassThrough()
  pipeline(source, plain, between, unpack as unknown as Writable, () => {})
  let entries = 0
  let bytes = 0
  try {
    for await (const entry of unpack) {
      // when it is refused in the middle the entry fails too, and nobody reads it
      entry.on('error', () => {})
      bytes += entry.header.size ?? 0
      between.enter(entry.header.size ?? 0)
      const problem =
        entries++ >= limits.maxEntries
          ? `it has more than ${limits.maxEntries} entries`
          : problemOf(entry.header)
      if (problem) throw refuse(problem)
      if (bytes > limits.maxBytes)
        throw refuse(`it unpacks to more than ${Math.floor(limits.maxBytes / 2 ** 20)} MB`)
      entry.resume()
    }
  } catch (error) {
    if (error instanceof SandlotError) throw error
    throw refuse(`it is not a tar, plain or gzipped: ${(error as Error).message}`)
  } finally {
    source.destroy()
  }
  if (entries === 0) throw refuse('it is empty')
}

/** Passes a tar on to its reader, and fails when too much of it belongs to no entry. */
class BytesBetween extends Transform {
  #leftBytes = MAX_BETWEEN_BYTES

  /** An entry begins, of so many bytes. */
  enter(sizeBytes: number): void {
    this.#leftBytes = MAX_BETWEEN_BYTES + sizeBytes
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#leftBytes -= chunk.length
    if (this.#leftBytes >= 0) done(null, chunk)
    else done(refuse(`it has more than ${MAX_BETWEEN_BYTES / 2 ** 20} MiB that belong to no entry`))
  }
}

/** Why an entry is not taken. */
export function problemOf({
  name,
  type,
  linkname,
}: Pick<Header, 'name' | 'type' | 'linkname'>): string | undefined {
  const shown = name.slice(0, 200)
  if (!KINDS.has(type)) return `entry '${shown}' is a ${type}: only files, folders and links are taken`
  if (leavesFolder(name)) return `entry '${shown}' is not a path inside the context folder`
  if (type === 'link' && leavesFolder(linkname ?? ''))
    return `entry '${shown}' is a hard link to '${(linkname ?? '').slice(0, 200)}', outside of the context folder`
  return undefined
}

const leavesFolder = (path: string): boolean =>
  path.startsWith('/') || path.includes('\0') || path.split('/').includes('..')

const refuse = (why: string): SandlotError =>
  new SandlotError('invalid_request', `the archive is refused: ${why}`)

async function isGzip(file: string): Promise<boolean> {
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(2), 0, 2, 0)
    return bytesRead === 2 && buffer[0] === 0x1f && buffer[1] === 0x8b
  } finally {
    await handle.close()
  }
}
