import { constants, createWriteStream } from 'node:fs'
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SandlotError } from '@sandlot/protocol'
import type { VolumeAttributes } from '@sandlot/protocol/node'
import { codeOf, diskFull } from '../errors.ts'
import { pathOf } from '../linux/system-calls.ts'
import type { TemporaryNames } from '../storage/temporary-names.ts'
import { applyAttributes } from './attributes.ts'
import { pathIn } from './descriptors.ts'
import { removeTrees, TreeRemoval } from './tree-removal.ts'
import type { VolumePath } from './volume-path.ts'

const DEFAULT_MODE = 0o644
/** How much is written between two looks at the disk that all volumes share. */
const CHECK_BYTES = 8 * 2 ** 20

export interface StagedWrite {
  /** Open folder that gets the file. */
  parent: number
  path: VolumePath
  /** Read to its end. */
  content: NodeJS.ReadableStream
  attributes: VolumeAttributes
  /** Replaces an existing file. */
  force: boolean
  /** Bytes that may still be written to the disk that all volumes share. */
  roomBytes: () => number
}

/** The folder of a volume that no sandbox sees, for files that are not complete and for trees that are being removed. */
export class Staging {
  readonly #folder: number
  readonly #names: TemporaryNames

  constructor(folder: number, names: TemporaryNames) {
    this.#folder = folder
    this.#names = names
  }

  /** Writes a file that appears when it is complete and on the disk. @throws EEXIST, EISDIR, ENOENT, ENOSPC … */
  async write({ parent, path, content, attributes, force, roomBytes }: StagedWrite): Promise<void> {
    const target = pathIn(parent, path.name)
    const before = await lstat(target).catch(() => undefined)
    if (before?.isDirectory()) throw new SandlotError('conflict', `path '${path}' is a directory`)
    if (before && !force)
      throw new SandlotError('conflict', `path '${path}' exists already: overwrite it with force`)
    const staged = pathIn(this.#folder, Buffer.from(this.#names.next()))
    const file = await open(staged, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    try {
      await fill(file, content, roomBytes)
      const kept = before?.isFile() ? { uid: before.uid, gid: before.gid, mode: before.mode & 0o7777 } : {}
      const { uid = 0, gid = 0, mode = DEFAULT_MODE } = { ...kept, ...withoutUndefined(attributes) }
      await applyAttributes(file.fd, { uid, gid, mode })
      await file.sync()
      if (force) await rename(staged, target)
      else await linkNew(staged, target)
      await syncOpen(parent)
    } catch (error) {
      await unlink(staged).catch(() => {})
      throw error
    } finally {
      await file.close().catch(() => {})
    }
  }

  /**
   * Removes the entry of an open folder from sight.
   * @returns the name in this folder of a directory that is still to be removed
   */
  async takeAway(parent: number, name: Buffer): Promise<Buffer | undefined> {
    const location = pathIn(parent, name)
    try {
      await unlink(location)
      return undefined
    } catch (error) {
      if (codeOf(error) !== 'EISDIR' && codeOf(error) !== 'EPERM') throw error
    }
    const moved = Buffer.from(this.#names.nextForRemoval())
    await rename(location, pathIn(this.#folder, moved))
    return moved
  }

  /** Removes an entry of this folder with everything below it. */
  async remove(name: Buffer, signal: AbortSignal): Promise<void> {
    await new TreeRemoval(this.#folder, signal).remove(name)
  }

  /** Removes what a killed process left. */
  async clean(signal: AbortSignal): Promise<void> {
    await removeTrees(pathOf(this.#folder), signal, async (name) => {
      const stats = await lstat(pathIn(this.#folder, name)).catch(() => undefined)
      return stats !== undefined && !this.#names.isLeftover(String(name), stats.ctimeMs)
    })
  }
}

/** Writes a stream to a file, and leaves the file open. @throws SandlotError disk_full */
async function fill(
  file: FileHandle,
  content: NodeJS.ReadableStream,
  roomBytes: () => number,
): Promise<void> {
  const target = createWriteStream('', { fd: file.fd, autoClose: false, highWaterMark: 256 * 1024 })
  // a request that is destroyed would take its connection with it, and perhaps the answer: Node drops the rest of the body
  const chunks = (content as Readable).iterator({ destroyOnReturn: false })
  await pipeline(whileThereIsRoom(chunks, roomBytes), target)
}

async function* whileThereIsRoom(
  chunks: AsyncIterable<string | Buffer>,
  roomBytes: () => number,
): AsyncGenerator<string | Buffer> {
  let uncheckedBytes = 0
  for await (const chunk of chunks) {
    if (uncheckedBytes === 0 && roomBytes() <= 0) throw diskFull()
    uncheckedBytes += chunk.length
    if (uncheckedBytes >= CHECK_BYTES) uncheckedBytes = 0
    yield chunk
  }
}

/** Gives a file its name unless something has it. @throws EEXIST */
async function linkNew(staged: Buffer, target: Buffer): Promise<void> {
  try {
    await link(staged, target)
  } catch (error) {
    if (codeOf(error) !== 'EPERM' && codeOf(error) !== 'EOPNOTSUPP') throw error
    // a file system without hard links
    if (await lstat(target).catch(() => undefined))
      throw Object.assign(new Error('EEXIST'), { code: 'EEXIST' })
    await rename(staged, target)
    return
  }
  await unlink(staged)
}

async function syncOpen(folder: number): Promise<void> {
  const handle = await open(pathOf(folder), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const withoutUndefined = (attributes: VolumeAttributes): VolumeAttributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
