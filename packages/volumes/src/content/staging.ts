import { constants, createWriteStream } from 'node:fs'
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises'
import { addAbortSignal, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SandlotError } from '@sandlot/protocol'
import type { VolumeAttributes, VolumeUploadPart } from '@sandlot/protocol/node'
import { codeOf, diskFull } from '../errors.ts'
import { pathOf } from '../linux/system-calls.ts'
import type { TemporaryNames } from '../storage/temporary-names.ts'
import { applyAttributes } from './attributes.ts'
import { pathIn } from './descriptors.ts'
import { removeTrees, TreeRemoval } from './tree-removal.ts'
import { checkComplete, openUpload, uploadedBytes, uploadName } from './uploads.ts'
import type { VolumePath } from './volume-path.ts'

const DEFAULT_MODE = 0o644
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
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
  /** An upload that stays when `content` fails. */
  part?: VolumeUploadPart
  /** Ends the write. */
  signal?: AbortSignal
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
  async write(write: StagedWrite): Promise<void> {
    const { parent, path, attributes, force, part } = write
    const target = pathIn(parent, path.name)
    const before = await lstat(target).catch(() => undefined)
    if (before?.isDirectory()) throw new SandlotError('conflict', `path '${path}' is a directory`)
    if (before && !force)
      throw new SandlotError('conflict', `path '${path}' exists already: overwrite it with force`)
    const name = part ? uploadName(part.uploadId) : Buffer.from(this.#names.next())
    const staged = pathIn(this.#folder, name)
    const file = part ? await openUpload(this.#folder, part) : await open(staged, NEW_FILE, 0o600)
    try {
      await fill(file, write)
      if (part) await checkComplete(file, part)
      const kept = before?.isFile() ? { uid: before.uid, gid: before.gid, mode: before.mode & 0o7777 } : {}
      const { uid = 0, gid = 0, mode = DEFAULT_MODE } = { ...kept, ...withoutUndefined(attributes) }
      await applyAttributes(file.fd, { uid, gid, mode })
      await file.sync()
      if (force) await rename(staged, target)
      else await linkNew(staged, target)
      await syncOpen(parent)
    } catch (error) {
      if (!part) await unlink(staged).catch(() => {})
      throw error
    } finally {
      await file.close().catch(() => {})
    }
  }

  /** Returns how many bytes of an upload are there. */
  uploadedBytes(uploadId: string): Promise<number> {
    return uploadedBytes(this.#folder, uploadId)
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

/**
 * Writes a stream to a file, and leaves the file open. What is left of the stream when there is no room is read and dropped:
 * a request that is destroyed would take its connection with it, and perhaps the answer.
 * @throws SandlotError disk_full
 */
async function fill(file: FileHandle, write: StagedWrite): Promise<void> {
  const { roomBytes, part, signal } = write
  const content = write.content as Readable
  const start = part?.offset ?? 0
  const target = createWriteStream('', { fd: file.fd, autoClose: false, start, highWaterMark: 256 * 1024 })
  if (signal) addAbortSignal(signal, content)
  try {
    await pipeline(whileThereIsRoom(content.iterator({ destroyOnReturn: false }), roomBytes), target)
  } catch (error) {
    content.resume()
    throw error
  }
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
