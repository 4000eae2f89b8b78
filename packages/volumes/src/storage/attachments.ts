import { EventEmitter, once } from 'node:events'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { bindMount, cloneMount, makePrivate, mountsIn, unmountLazily } from '@sandlot/linux'
import { SandlotError } from '@sandlot/protocol'
import { codeOf } from '../errors.ts'
import { mountImage, thaw } from './image.ts'
import type { ImageHolds } from './image-holds.ts'
import { IMAGE, ROOT, TREE, type VolumeDescription, type VolumeLayout } from './layout.ts'
import type { Logger } from './logger.ts'
import { removeEmpty } from './remove-empty.ts'

/** How long a volume stays mounted after its last use. */
const IDLE_MS = 5 * 60_000

/** The mounts of one volume, in a folder of its id. */
const RAW = 'raw'
/** What the host sees: the top folders of the volume. */
const ALL = 'all'
/** As `ROOT`, with the ids that files have on disk, for machines that map ids themselves. */
const UNMAPPED = 'unmapped'
const PARTS = [RAW, ALL, ROOT, UNMAPPED] as const

interface Attachment {
  users: number
  /** Settles when the volume is mounted, and is replaced by the next change. */
  ready: Promise<VolumeDescription>
  idle?: NodeJS.Timeout
}

export interface AttachedVolume {
  /** What sandboxes see. */
  directory: string
  /** What sandboxes see, with the ids on disk. */
  unmapped: string
  /** The ids on disk are those that sandboxes see. */
  hasPlainIds: boolean
  /** All of the volume, for the host. */
  all: string
}

export interface AttachmentsOptions {
  layout: VolumeLayout
  holds: ImageHolds
  /** Folder for mount points, in /run, for this instance alone. */
  mountDir: string
  /** Open user namespace for volumes with mapped ids. */
  idMap: () => Promise<{ readonly fd: number }>
  logger: Logger
  /** Default 5 minutes. */
  idleMs?: number
}

/**
 * Mounts volumes while they are used, and some minutes longer. Only `rmdir` removes mount points: a recursive remove would
 * delete the files of a volume that is still mounted.
 */
export class Attachments {
  readonly #options: AttachmentsOptions
  readonly #attached = new Map<string, Attachment>()
  /** Emits the id of a volume whose last user has gone. */
  readonly #freed = new EventEmitter()
  /** Volumes that are being unmounted, or worked on while they are not mounted. */
  readonly #ending = new Map<string, Promise<void>>()
  #isClosed = false

  constructor(options: AttachmentsOptions) {
    this.#options = options
  }

  /** Takes over the mounts of a former process, and ends those that are not complete or whose volume is gone. */
  async reconcile(): Promise<void> {
    const { mountDir, layout } = this.#options
    await mkdir(mountDir, { recursive: true, mode: 0o700 })
    const all = new Set(mountsIn(mountDir).map(({ target }) => target))
    if (!all.has(mountDir)) {
      bindMount(mountDir, mountDir)
      makePrivate(mountDir)
    }
    for (const volumeId of await readdir(mountDir)) {
      const isMounted = (part: string) => all.has(this.#path(volumeId, part))
      const isUsable = [ALL, ROOT, UNMAPPED].every(isMounted) && (await layout.has('live', volumeId))
      // a former process may have been killed while it copied the volume
      if (isMounted(ALL)) await thaw(this.#path(volumeId, ALL))
      const description = isUsable ? await this.#keep(volumeId) : undefined
      if (description) this.#adopt(volumeId, description)
      else await this.#unmount(volumeId)
    }
  }

  /** @throws SandlotError not_found, volume_unavailable */
  async attach(volumeId: string): Promise<AttachedVolume> {
    for (let ending = this.#ending.get(volumeId); ending; ending = this.#ending.get(volumeId)) await ending
    if (this.#isClosed) throw new SandlotError('volume_unavailable', 'the server is shutting down')
    const known = this.#attached.get(volumeId)
    const attachment = known ?? { users: 0, ready: this.#mount(volumeId) }
    this.#attached.set(volumeId, attachment)
    attachment.users += 1
    clearTimeout(attachment.idle)
    const { ids } = await attachment.ready.catch((error: unknown) => {
      if (this.#attached.get(volumeId) === attachment) this.#attached.delete(volumeId)
      throw error
    })
    return {
      directory: this.#path(volumeId, ROOT),
      unmapped: this.#path(volumeId, UNMAPPED),
      all: this.#path(volumeId, ALL),
      hasPlainIds: ids === 'plain',
    }
  }

  release(volumeId: string): void {
    const attachment = this.#attached.get(volumeId)
    if (!attachment || attachment.users === 0) return
    attachment.users -= 1
    if (attachment.users > 0) return
    this.#endLater(volumeId, attachment)
    this.#freed.emit(volumeId)
  }

  /**
   * Unmounts a volume and works on it; nothing attaches it meanwhile: programs such as `e2fsck` destroy a file system that
   * is mounted while they run.
   * @param patienceMs how long to wait for users of the volume, such as a sandbox whose machine still ends; default 0
   * @throws SandlotError conflict when it is in use
   */
  async whileDetached<T>(volumeId: string, work: () => Promise<T>, patienceMs = 0): Promise<T> {
    if (patienceMs > 0) await this.#waitUntilFree(volumeId, patienceMs)
    for (let ending = this.#ending.get(volumeId); ending; ending = this.#ending.get(volumeId)) await ending
    const attachment = this.#attached.get(volumeId)
    if (attachment && attachment.users > 0)
      throw new SandlotError(
        'conflict',
        `volume '${volumeId}' is in use by ${attachment.users} sandboxes or requests`,
      )
    const working = this.#takeOff(volumeId, attachment).then(work)
    this.#endWith(volumeId, working)
    return working
  }

  /** The block device of a volume that is attached and has an image. */
  async deviceOf(volumeId: string): Promise<string> {
    const mountPoint = this.#path(volumeId, ALL)
    const found = mountsIn(mountPoint).findLast(({ target }) => target === mountPoint)
    if (!found) throw new SandlotError('volume_unavailable', `volume '${volumeId}' is not mounted`)
    return found.source
  }

  /** Whether the volume is mounted, and where all of it is. */
  mountedAt(volumeId: string): string | undefined {
    return this.#attached.has(volumeId) ? this.#path(volumeId, ALL) : undefined
  }

  /** Unmounts what is not in use. Sandboxes keep what they have. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const [volumeId, attachment] of this.#attached) {
      clearTimeout(attachment.idle)
      if (attachment.users === 0) await this.#end(volumeId, attachment)
    }
    await Promise.all(this.#ending.values())
  }

  async #waitUntilFree(volumeId: string, patienceMs: number): Promise<void> {
    const signal = AbortSignal.timeout(patienceMs)
    while (this.#attached.get(volumeId)?.users && !signal.aborted)
      await once(this.#freed, volumeId, { signal }).catch(() => {})
  }

  /** Takes over a volume that a former process has mounted. @returns undefined when another server has its image now */
  async #keep(volumeId: string): Promise<VolumeDescription | undefined> {
    const { layout, holds, logger } = this.#options
    try {
      const description = await layout.describe(volumeId)
      if (description.kind === 'image') await holds.take(volumeId)
      return description
    } catch (err) {
      logger.warn({ err, volumeId }, 'a volume that was mounted is not taken over')
      return undefined
    }
  }

  #adopt(volumeId: string, description: VolumeDescription): void {
    const attachment: Attachment = { users: 0, ready: Promise.resolve(description) }
    this.#attached.set(volumeId, attachment)
    this.#endLater(volumeId, attachment)
  }

  #endLater(volumeId: string, attachment: Attachment): void {
    clearTimeout(attachment.idle)
    attachment.idle = setTimeout(() => {
      if (attachment.users === 0) void this.#end(volumeId, attachment)
    }, this.#options.idleMs ?? IDLE_MS).unref()
  }

  async #end(volumeId: string, attachment: Attachment): Promise<void> {
    if (this.#attached.get(volumeId) !== attachment) return
    await this.#endWith(volumeId, this.#takeOff(volumeId, attachment))
  }

  /** Unmounts a volume without users. */
  async #takeOff(volumeId: string, attachment: Attachment | undefined): Promise<void> {
    if (!attachment) return
    clearTimeout(attachment.idle)
    this.#attached.delete(volumeId)
    await attachment.ready
      .then(() => this.#unmount(volumeId))
      .catch((err: unknown) => this.#options.logger.warn({ err, volumeId }, 'a volume was not unmounted'))
  }

  /** Lets those that want to attach the volume wait for work that needs it unmounted. */
  #endWith(volumeId: string, working: Promise<unknown>): Promise<void> {
    const ending = working
      .then(
        () => {},
        () => {},
      )
      .then(() => void this.#ending.delete(volumeId))
    this.#ending.set(volumeId, ending)
    return ending
  }

  async #mount(volumeId: string): Promise<VolumeDescription> {
    const { layout, mountDir, idMap, holds } = this.#options
    const description = await layout.describe(volumeId)
    const { kind, ids } = description
    if (kind === 'image') await holds.take(volumeId)
    try {
      await mkdir(mountDir, { recursive: true, mode: 0o700 })
      for (const part of PARTS) await mkdir(this.#path(volumeId, part), { recursive: true, mode: 0o700 })
      const map = ids === 'mapped' ? await idMap() : undefined
      const content = join(layout.live(volumeId), kind === 'image' ? IMAGE : TREE)
      const raw = this.#path(volumeId, RAW)
      if (kind === 'image') await mountImage(content, raw)
      const top = kind === 'image' ? raw : content
      await cloneMount(top, this.#path(volumeId, ALL), { idMap: map })
      await cloneMount(join(top, ROOT), this.#path(volumeId, ROOT), { idMap: map })
      await cloneMount(join(top, ROOT), this.#path(volumeId, UNMAPPED))
      if (kind === 'image') await unmountLazily(raw)
      return description
    } catch (cause) {
      await this.#unmount(volumeId)
      throw cannotMount(volumeId, cause)
    }
  }

  async #unmount(volumeId: string): Promise<void> {
    const { mountDir } = this.#options
    const folder = join(mountDir, volumeId)
    for (const { target } of mountsIn(folder).reverse()) await unmountLazily(target)
    for (const part of [...PARTS.map((name) => join(folder, name)), folder]) await removeEmpty(part)
    await this.#options.holds.release(volumeId)
  }

  #path(volumeId: string, part: string): string {
    return join(this.#options.mountDir, volumeId, part)
  }
}

function cannotMount(volumeId: string, cause: unknown): SandlotError {
  const reason = codeOf(cause)
  const hint =
    reason === 'EINVAL' || reason === 'EPERM'
      ? ': its file system does not support id-mapped mounts on this machine (Linux 5.12 with ext4, XFS or btrfs)'
      : `: ${(cause as Error).message}`
  return new SandlotError('volume_unavailable', `volume '${volumeId}' cannot be mounted${hint}`, { cause })
}
