import { createReadStream } from 'node:fs'
import { constants, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import type {
  OpenVolumeFile,
  VolumeAttributes,
  VolumeEntry,
  VolumeFiles,
  VolumeRange,
  VolumeUploadPart,
} from '@sandlot/protocol/node'
import { codeOf, fileError } from '../errors.ts'
import { DIRECTORY, openat2, pathOf, RESOLVE_NO_SYMLINKS } from '../linux/system-calls.ts'
import type { Attachments } from '../storage/attachments.ts'
import { KeyedQueue } from '../storage/keyed-queue.ts'
import { ROOT, STAGING } from '../storage/layout.ts'
import type { Logger } from '../storage/logger.ts'
import type { TemporaryNames } from '../storage/temporary-names.ts'
import { applyAttributes, checkAttributes } from './attributes.ts'
import {
  closeDescriptor,
  openChild,
  openEntry,
  openFolder,
  statDescriptor,
  withDescriptor,
} from './descriptors.ts'
import { entryIn, entryOf } from './entry.ts'
import { makeFolder, openOrMakeFolder } from './folders.ts'
import { listTree } from './listing.ts'
import { Operations } from './operations.ts'
import { type StagedWrite, Staging } from './staging.ts'
import { RunningUploads } from './uploads.ts'
import { VolumePath } from './volume-path.ts'

const AT_FDCWD = -100
/** Levels of a listing, each with an open folder. */
const MAX_DEPTH = 64
const READ_BYTES = 256 * 1024
/** How long a removal waits for the files to be gone; the entry is gone at once. */
const REMOVAL_MS = 10_000
const MAX_JOB_MS = 60 * 60_000

/** A volume in use: its root, and the folder for what is not visible yet, or no longer. */
interface OpenVolume {
  root: number
  staging: Staging
  close(): Promise<void>
}

export interface ContentFilesOptions {
  attachments: Attachments
  /** Names for what is in the staging folders. */
  names: TemporaryNames
  /** Bytes that may still be written to the disk that all volumes share. */
  roomBytes: () => number
  logger: Logger
}

/** Access to the files of volumes that no link and no rename of a sandbox leads out of the volume. */
export class ContentFiles implements VolumeFiles {
  readonly #options: ContentFilesOptions
  readonly #operations = new Operations()
  readonly #uploads = new RunningUploads()
  readonly #jobs = new KeyedQueue()
  readonly #removals = new Set<{ volumeId: string; job: Promise<void>; stop: AbortController }>()
  readonly #cleaned = new Set<string>()

  constructor(options: ContentFilesOptions) {
    this.#options = options
  }

  stat(volumeId: string, bytes: Buffer): Promise<VolumeEntry> {
    return this.#within(volumeId, bytes, async ({ root }, path) => {
      if (path.isRoot) return entryOf(await statDescriptor(root), path)
      return withDescriptor(openFolder(root, path.parent), (parent) => entryIn(parent, path))
    })
  }

  change(volumeId: string, bytes: Buffer, attributes: VolumeAttributes): Promise<VolumeEntry> {
    checkAttributes(attributes)
    return this.#within(volumeId, bytes, async ({ root }, path) => {
      if (path.isRoot) {
        await applyAttributes(root, attributes)
        return entryOf(await statDescriptor(root), path)
      }
      return withDescriptor(openFolder(root, path.parent), (parent) => changed(parent, path, attributes))
    })
  }

  async remove(volumeId: string, bytes: Buffer): Promise<void> {
    const moved = await this.#within(volumeId, bytes, async (volume, path) => {
      if (path.isRoot)
        throw new SandlotError('invalid_request', 'the root of a volume cannot be removed: delete the volume')
      return withDescriptor(openFolder(volume.root, path.parent), (parent) =>
        volume.staging.takeAway(parent, path.name),
      )
    })
    if (!moved) return
    const removal = this.#removeLater(volumeId, moved)
    await Promise.race([removal, delay(REMOVAL_MS, undefined, { ref: false })])
  }

  async list(volumeId: string, bytes: Buffer, depth: number): Promise<AsyncGenerator<VolumeEntry[]>> {
    if (!(Number.isInteger(depth) && depth >= 1 && depth <= MAX_DEPTH))
      throw new SandlotError(
        'invalid_request',
        `depth is ${depth}, it must be a whole number from 1 to ${MAX_DEPTH}`,
      )
    const path = VolumePath.parse(bytes)
    const release = this.#operations.reserveFolders(volumeId, depth)
    const volume = await this.#open(volumeId, release)
    try {
      const folder = await openFolder(volume.root, path).catch((error: unknown) => {
        throw codeOf(error) === 'ENOTDIR' ? notA('directory', path) : error
      })
      return await begun(closing(await begun(listTree(folder, path, depth)), volume))
    } catch (error) {
      await volume.close()
      throw fileError(error, String(path))
    }
  }

  makeDirectory(
    volumeId: string,
    bytes: Buffer,
    attributes: VolumeAttributes,
    force: boolean,
  ): Promise<VolumeEntry> {
    checkAttributes(attributes)
    return this.#within(volumeId, bytes, async ({ root }, path) => {
      if (path.isRoot) {
        if (!force) throw new SandlotError('conflict', "path '/' exists already")
        return entryOf(await statDescriptor(root), path)
      }
      const opening = force ? openOrMakeFolder(root, path.parent, attributes) : openFolder(root, path.parent)
      return withDescriptor(opening, async (parent) => {
        const isNew = await makeFolder(parent, path.name, attributes)
        const entry = await entryIn(parent, path)
        if (!isNew && !(force && entry.type === 'directory'))
          throw new SandlotError('conflict', `path '${path}' exists already`)
        return entry
      })
    })
  }

  async open(volumeId: string, bytes: Buffer): Promise<OpenVolumeFile> {
    const path = VolumePath.parse(bytes)
    const volume = await this.#open(volumeId)
    try {
      const file = await withDescriptor(openEntry(volume.root, path), async (entry) => {
        if (!(await statDescriptor(entry)).isFile()) throw notA('file', path)
        return open(pathOf(entry), constants.O_RDONLY | constants.O_NONBLOCK)
      })
      const { size, mtimeMs } = await file.stat()
      return {
        sizeBytes: size,
        mtimeMs,
        read: (range?: VolumeRange) => {
          const { start, end } = range ?? { start: 0, end: size - 1 }
          const stream = createReadStream('', {
            fd: file,
            start,
            end: Math.max(end, start),
            highWaterMark: READ_BYTES,
          })
          stream.once('close', () => void volume.close())
          return stream
        },
        close: async () => {
          await file.close()
          await volume.close()
        },
      }
    } catch (error) {
      await volume.close()
      throw fileError(error, String(path))
    }
  }

  write(
    volumeId: string,
    bytes: Buffer,
    content: NodeJS.ReadableStream,
    attributes: VolumeAttributes,
    force: boolean,
    part?: VolumeUploadPart,
  ): Promise<VolumeEntry> {
    checkAttributes(attributes)
    const write = (signal?: AbortSignal) =>
      this.#write(volumeId, bytes, { content, attributes, force, part, signal })
    return part ? this.#uploads.run(volumeId, part.uploadId, write) : write()
  }

  async uploadedBytes(volumeId: string, uploadId: string): Promise<number> {
    await this.#uploads.end(volumeId, uploadId)
    return this.#within(volumeId, Buffer.from('/'), ({ staging }) => staging.uploadedBytes(uploadId))
  }

  #write(
    volumeId: string,
    bytes: Buffer,
    write: Pick<StagedWrite, 'content' | 'attributes' | 'force' | 'part' | 'signal'>,
  ): Promise<VolumeEntry> {
    const { attributes, force } = write
    return this.#within(volumeId, bytes, async ({ root, staging }, path) => {
      if (path.isRoot) throw new SandlotError('conflict', "path '/' is a directory")
      const { uid, gid } = attributes
      const opening = force
        ? openOrMakeFolder(root, path.parent, { uid, gid })
        : openFolder(root, path.parent)
      return withDescriptor(opening, async (parent) => {
        await staging.write({ ...write, parent, path, roomBytes: this.#options.roomBytes })
        return entryIn(parent, path)
      })
    })
  }

  /** Works while no request and no removal touches the files of a volume, as when it is frozen. @throws SandlotError conflict */
  whileHeld<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    return this.#operations.whileHeld(volumeId, work)
  }

  /** Ends the work in the background on one volume; the next use of the volume continues it. */
  async stop(volumeId: string): Promise<void> {
    this.#cleaned.delete(volumeId)
    await this.#stop((one) => one === volumeId)
  }

  /** Ends the work in the background. */
  close(): Promise<void> {
    return this.#stop(() => true)
  }

  async #stop(isMeant: (volumeId: string) => boolean): Promise<void> {
    const meant = [...this.#removals].filter(({ volumeId }) => isMeant(volumeId))
    for (const { stop } of meant) stop.abort()
    await Promise.all(meant.map(({ job }) => job))
  }

  async #within<T>(
    volumeId: string,
    bytes: Buffer,
    work: (volume: OpenVolume, path: VolumePath) => Promise<T>,
  ): Promise<T> {
    const path = VolumePath.parse(bytes)
    const volume = await this.#open(volumeId)
    try {
      return await work(volume, path)
    } catch (error) {
      throw fileError(error, String(path))
    } finally {
      await volume.close()
    }
  }

  /** @throws SandlotError not_found, volume_unavailable, rate_limited */
  async #open(volumeId: string, onClose = () => {}): Promise<OpenVolume> {
    const end = await this.#operations.beginRequest(volumeId).catch((error: unknown) => {
      onClose()
      throw error
    })
    const descriptors: number[] = []
    let isAttached = false
    let isClosed = false
    const close = async () => {
      if (isClosed) return
      isClosed = true
      for (const descriptor of descriptors) await closeDescriptor(descriptor)
      if (isAttached) this.#options.attachments.release(volumeId)
      end()
      onClose()
    }
    try {
      const { all } = await this.#options.attachments.attach(volumeId)
      isAttached = true
      const openTop = async (name: string) => {
        const path = Buffer.from(join(all, name))
        const descriptor = await openat2(AT_FDCWD, path, DIRECTORY, RESOLVE_NO_SYMLINKS)
        descriptors.push(descriptor)
        return descriptor
      }
      const volume = {
        root: await openTop(ROOT),
        staging: new Staging(await openTop(STAGING), this.#options.names),
        close,
      }
      this.#cleanOnce(volumeId)
      return volume
    } catch (error) {
      await close()
      throw error
    }
  }

  /** Removes a tree that is in the staging folder already. */
  #removeLater(volumeId: string, name: Buffer): Promise<void> {
    return this.#inBackground(volumeId, (staging, signal) => staging.remove(name, signal))
  }

  /** Removes what processes that were killed left in the staging folder. */
  #cleanOnce(volumeId: string): void {
    if (this.#cleaned.has(volumeId)) return
    this.#cleaned.add(volumeId)
    void this.#inBackground(volumeId, (staging, signal) => staging.clean(signal))
  }

  /** One job of a volume at a time: others need the threads for files, too. */
  #inBackground(
    volumeId: string,
    work: (staging: Staging, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const stop = new AbortController()
    const job = this.#jobs
      .run(volumeId, async () => {
        const { signal } = stop
        const end = await this.#operations.beginInBackground(volumeId, signal)
        // a sandbox that has a folder open may fill it for ever
        const timer = setTimeout(() => stop.abort(), MAX_JOB_MS).unref()
        try {
          await this.#withStaging(volumeId, (staging) => work(staging, signal))
        } finally {
          clearTimeout(timer)
          end()
        }
      })
      .catch((err: unknown) => {
        if (!stop.signal.aborted)
          this.#options.logger.warn({ err, volumeId }, 'removed files of a volume still take space')
      })
      .finally(() => this.#removals.delete(removal))
    const removal = { volumeId, job, stop }
    this.#removals.add(removal)
    return job
  }

  async #withStaging(volumeId: string, work: (staging: Staging) => Promise<void>): Promise<void> {
    const { all } = await this.#options.attachments.attach(volumeId)
    try {
      const folder = Buffer.from(join(all, STAGING))
      await withDescriptor(openat2(AT_FDCWD, folder, DIRECTORY, RESOLVE_NO_SYMLINKS), (descriptor) =>
        work(new Staging(descriptor, this.#options.names)),
      )
    } finally {
      this.#options.attachments.release(volumeId)
    }
  }
}

const notA = (what: 'file' | 'directory', path: VolumePath): SandlotError =>
  new SandlotError('invalid_request', `path '${path}' is not a ${what}`)

async function changed(parent: number, path: VolumePath, attributes: VolumeAttributes): Promise<VolumeEntry> {
  await withDescriptor(openChild(parent, path.name), (entry) => applyAttributes(entry, attributes))
  return entryIn(parent, path)
}

/** Closes the volume when the listing ends, however it ends. */
async function* closing(
  listing: AsyncGenerator<VolumeEntry[]>,
  volume: OpenVolume,
): AsyncGenerator<VolumeEntry[]> {
  try {
    yield []
    yield* listing
  } finally {
    await volume.close()
  }
}

/** Takes the first, empty batch of a generator: the `finally` of one that has not begun never runs. */
async function begun(batches: AsyncGenerator<VolumeEntry[]>): Promise<AsyncGenerator<VolumeEntry[]>> {
  await batches.next()
  return batches
}
