import { type FileHandle, mkdir, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { canMapIds, openIdMap } from '@sandlot/linux'
import { SandlotError } from '@sandlot/protocol'
import {
  type AttachedDirectories,
  FIRST_VOLUME_ID,
  type NewVolume,
  VOLUME_IDS,
  type VolumeStorage,
  type VolumeUsage,
} from '@sandlot/protocol/node'
import { ContentFiles } from '../content/files.ts'
import { removeTrees } from '../content/tree-removal.ts'
import { codeOf, diskFull } from '../errors.ts'
import { Attachments } from './attachments.ts'
import { isOnNetwork } from './disk-kind.ts'
import {
  bytesOnDisk,
  copyImage,
  growMounted,
  growUnmounted,
  hasDevice,
  makeImage,
  makeTopFolders,
  syncFile,
} from './image.ts'
import { ImageHolds, type TryLock } from './image-holds.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { IMAGE, TREE, type VolumeDescription, VolumeLayout } from './layout.ts'
import type { Logger } from './logger.ts'
import { TemporaryNames } from './temporary-names.ts'

export interface VolumesOptions {
  /** Folder of all volumes. */
  dir: string
  /** Folder for mount points, in /run, for this instance alone; nothing may remove it recursively. */
  mountDir: string
  /**
   * `image`: each volume is a file with a file system, which limits its size. `folder`: each volume is a folder, without
   * a limit, as hosts that share `dir` need. Default: `folder` on a network file system, else `image`.
   */
  kind?: 'image' | 'folder'
  /** Id of this server, which no other server on `dir` has, with letters, digits, `.`, `-` and `_`. Default: there is no other */
  server?: string
  /** Locks the images of volumes. Default: nothing else uses `dir` */
  lock?: TryLock
  /** Bytes that may still be written to the disk of `dir`, by requests and for new volumes; not asked for a network file system. Default: any number */
  roomBytes?: () => number
  logger: Logger
  /** How long volumes stay mounted after their last use. Default 5 minutes. */
  idleMs?: number
  /** How long `trash` and `remove` wait for machines that still end, of sandboxes that are gone. Default 10 seconds. */
  patienceMs?: number
}

const PATIENCE_MS = 10_000

/** The volumes of this host. */
export class Volumes implements VolumeStorage {
  readonly files: ContentFiles
  readonly #options: VolumesOptions
  readonly #layout: VolumeLayout
  readonly #attachments: Attachments
  readonly #roomBytes: () => number
  readonly #changes = new KeyedQueue()
  readonly #end = new AbortController()
  #removal: Promise<void> | undefined
  readonly #holds: ImageHolds
  /** The disk is that of a server, which may not answer, and limits itself. */
  #isShared = false
  #idMap: Promise<FileHandle> | undefined
  #description: Pick<VolumeDescription, 'kind' | 'ids'> = { kind: 'image', ids: 'mapped' }

  private constructor(options: VolumesOptions) {
    this.#options = options
    const { dir, mountDir, server = 'server', lock, logger, idleMs } = options
    const names = new TemporaryNames(server)
    const layout = new VolumeLayout(dir, names)
    this.#layout = layout
    this.#holds = new ImageHolds({ layout, server, lock, logger })
    this.#attachments = new Attachments({
      layout,
      holds: this.#holds,
      mountDir,
      idMap: () => this.#openIdMap(),
      logger,
      idleMs,
    })
    const { roomBytes = () => Number.POSITIVE_INFINITY } = options
    this.#roomBytes = () => (this.#isShared ? Number.POSITIVE_INFINITY : roomBytes())
    this.files = new ContentFiles({
      attachments: this.#attachments,
      names,
      roomBytes: this.#roomBytes,
      logger,
    })
  }

  /** Opens the volumes of a folder, and takes over what a former process has mounted. Other servers may use the folder. */
  static async open(options: VolumesOptions): Promise<Volumes> {
    const volumes = new Volumes(options)
    await volumes.#layout.prepare()
    const isShared = await isOnNetwork(options.dir)
    volumes.#isShared = isShared
    const kind = options.kind ?? (isShared ? 'folder' : 'image')
    const hasPlainIds = kind === 'folder' && !(await volumes.#canMapIds())
    volumes.#description = { kind, ids: hasPlainIds ? 'plain' : 'mapped' }
    await volumes.#layout.discardUnfinished()
    await volumes.#attachments.reconcile()
    volumes.#removeLeftovers()
    return volumes
  }

  async attach(volumeId: string): Promise<AttachedDirectories> {
    const attached = await this.#changes.run(volumeId, () => this.#attachments.attach(volumeId))
    const { directory, unmapped, hasPlainIds } = attached
    return { directory, unmapped, hasPlainIds }
  }

  async release(volumeId: string): Promise<void> {
    this.#attachments.release(volumeId)
  }

  create(volumeId: string, { sizeBytes, from }: NewVolume): Promise<{ copied?: 'reflink' | 'copy' }> {
    return this.#changes.run(volumeId, async () => {
      if (await this.#layout.has('live', volumeId)) return {}
      if (this.#roomBytes() <= 0) throw diskFull()
      try {
        if (from !== undefined) return { copied: await this.#copy(volumeId, sizeBytes, from) }
        await this.#createEmpty(volumeId, sizeBytes)
        return {}
      } catch (error) {
        throw isFull(error) ? diskFull(error) : error
      }
    })
  }

  grow(volumeId: string, sizeBytes: number): Promise<void> {
    return this.#changes.run(volumeId, async () => {
      const { kind } = await this.#layout.describe(volumeId)
      if (kind === 'folder') return
      const image = join(this.#layout.live(volumeId), IMAGE)
      const isGrown =
        (await this.#growMounted(volumeId, image, sizeBytes)) ||
        (await this.#growUnmounted(volumeId, image, sizeBytes))
      if (!isGrown)
        throw new SandlotError(
          'conflict',
          'this server lacks CAP_SYS_RESOURCE, which Linux wants to enlarge a file system that is mounted',
        )
    })
  }

  trash(volumeId: string): Promise<void> {
    return this.#changes.run(volumeId, async () => {
      await this.files.stop(volumeId)
      await this.#whileUnused(volumeId, () => this.#layout.move(volumeId, 'live', 'trash'))
    })
  }

  restore(volumeId: string): Promise<void> {
    return this.#changes.run(volumeId, () => this.#layout.move(volumeId, 'trash', 'live'))
  }

  remove(volumeId: string): Promise<void> {
    return this.#changes.run(volumeId, async () => {
      await this.files.stop(volumeId)
      await this.#whileUnused(volumeId, () => this.#layout.discard(volumeId))
      this.#removeLeftovers()
    })
  }

  async usage(volumeId: string): Promise<VolumeUsage> {
    const { kind } = await this.#layout.describe(volumeId)
    if (kind === 'folder') return { isSizeLimited: false }
    const mounted = this.#attachments.mountedAt(volumeId)
    if (!mounted)
      return { usedBytes: await bytesOnDisk(join(this.#layout.live(volumeId), IMAGE)), isSizeLimited: true }
    const { blocks, bfree, bsize } = await statfs(mounted)
    return { usedBytes: (blocks - bfree) * bsize, isSizeLimited: true }
  }

  /** Unmounts what no sandbox uses, and ends the work in the background. */
  async close(): Promise<void> {
    this.#end.abort()
    await this.#removal
    await this.files.close()
    await this.#attachments.close()
    await this.#holds.close()
    await (await this.#idMap?.catch(() => undefined))?.close()
  }

  async #canMapIds(): Promise<boolean> {
    return canMapIds(this.#options.dir, await this.#openIdMap())
  }

  async #createEmpty(volumeId: string, sizeBytes: number): Promise<void> {
    const { kind, ids } = this.#description
    const firstId = ids === 'mapped' ? FIRST_VOLUME_ID : 0
    await this.#make(volumeId, { version: 1, kind, ids }, async (folder) => {
      if (kind === 'image') return makeImage(join(folder, IMAGE), sizeBytes, firstId)
      await mkdir(join(folder, TREE), { mode: 0o700 })
      await makeTopFolders(join(folder, TREE), firstId)
    })
  }

  /** Makes a volume of what `fill` puts in a folder; nothing is left when that fails. */
  async #make<T>(
    volumeId: string,
    description: VolumeDescription,
    fill: (folder: string) => Promise<T>,
  ): Promise<T> {
    const folder = await this.#layout.begin(description)
    try {
      const result = await fill(folder)
      await this.#layout.publish(folder, volumeId)
      return result
    } catch (error) {
      await this.#layout.abandon(folder)
      this.#removeLeftovers()
      throw error
    }
  }

  async #copy(volumeId: string, sizeBytes: number, from: string): Promise<'reflink' | 'copy'> {
    const description = await this.#layout.describe(from)
    if (description.kind === 'folder')
      throw new SandlotError(
        'volume_unavailable',
        'volumes on a shared file system cannot be copied by the server: copy their files in a sandbox',
      )
    const { all } = await this.#attachments.attach(from)
    try {
      return await this.#make(volumeId, description, async (folder) => {
        const [image, copy] = [join(this.#layout.live(from), IMAGE), join(folder, IMAGE)]
        // a file system that is frozen cannot be frozen again
        const copied = await this.files.whileHeld(from, () => copyImage(image, all, copy, this.#roomBytes))
        await growUnmounted(copy, sizeBytes)
        await syncFile(copy)
        return copied
      })
    } finally {
      this.#attachments.release(from)
    }
  }

  /** @throws SandlotError conflict when it is in use here; volume_unavailable when another server uses the image */
  #whileUnused(volumeId: string, work: () => Promise<void>): Promise<void> {
    const workAlone = async () => {
      const isImage =
        (await this.#layout.has('live', volumeId)) && (await this.#layout.describe(volumeId)).kind === 'image'
      return isImage ? this.#holds.whileUnused(volumeId, work) : work()
    }
    return this.#attachments.whileDetached(volumeId, workAlone, this.#options.patienceMs ?? PATIENCE_MS)
  }

  /**
   * Preferred, as Linux writes a journal: a crash in the middle destroys nothing, unlike one of `resize2fs` on a file.
   * @returns false when Linux does not let this process do so
   */
  async #growMounted(volumeId: string, image: string, sizeBytes: number): Promise<boolean> {
    await this.#attachments.attach(volumeId)
    try {
      return await growMounted(image, await this.#attachments.deviceOf(volumeId), sizeBytes)
    } finally {
      this.#attachments.release(volumeId)
    }
  }

  /** Grows a volume that is not in use. @returns false when something on this host has it mounted still */
  async #growUnmounted(volumeId: string, image: string, sizeBytes: number): Promise<boolean> {
    const grow = async () => {
      if (await hasDevice(image)) return false
      await this.#holds.during(volumeId, () => growUnmounted(image, sizeBytes))
      return true
    }
    return this.#attachments.whileDetached(volumeId, grow).catch((error: unknown) => {
      if (error instanceof SandlotError && error.errorName === 'conflict') return false
      throw error
    })
  }

  /** One job at a time; the next start continues what a process leaves. */
  #removeLeftovers(): void {
    const { logger } = this.#options
    const isOthers = async (name: Buffer) => !(await this.#layout.isOursToRemove(String(name)))
    this.#removal = Promise.resolve(this.#removal).then(() =>
      removeTrees(this.#layout.removing, this.#end.signal, isOthers).catch((err: unknown) => {
        if (!this.#end.signal.aborted) logger.warn({ err }, 'files of deleted volumes were not removed')
      }),
    )
  }

  /** Files have ids from `FIRST_VOLUME_ID` on disk and from 0 in the mount. Made at the first volume, and kept. */
  #openIdMap(): Promise<FileHandle> {
    const mapping = { inside: FIRST_VOLUME_ID, outside: 0, count: VOLUME_IDS }
    this.#idMap ??= openIdMap([mapping]).catch((cause: Error) => {
      this.#idMap = undefined
      const message = `volumes need user namespaces, which this machine refuses: ${cause.message}`
      throw new SandlotError('volume_unavailable', message, { cause })
    })
    return this.#idMap
  }
}

const isFull = (error: unknown): boolean =>
  codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT' || /No space left/.test((error as Error).message)
