import { readFileSync } from 'node:fs'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { codeOf, noVolume } from '../errors.ts'
import { hasDevice } from './image.ts'
import { KeyedQueue } from './keyed-queue.ts'
import { IMAGE, syncFolder, type VolumeLayout } from './layout.ts'
import type { Logger } from './logger.ts'

/** Written beside an image while it is mounted, or may be. */
const HOLDER = 'holder.json'
const LOCK = 'lock'
const LINGERING_INTERVAL_MS = 60_000

export interface Lock {
  release(): void
}

/** Locks a file until its release, at the latest until this process ends; undefined when another process holds it. */
export type TryLock = (path: string) => Lock | undefined

interface Holder {
  /** Id of the server. */
  server: string
  /** Id of the run of the kernel that has the image mounted (random(4)). */
  bootId: string
}

export interface ImageHoldsOptions {
  layout: VolumeLayout
  /** Id of this server. */
  server: string
  /** Absent: no other server uses the folder. */
  lock?: TryLock
  logger: Logger
  /** For tests. Default: that of this machine. */
  bootId?: string
}

/**
 * Lets one server at a time use an image: two kernels that have an ext4 file system mounted destroy it. A lock keeps servers
 * that run apart. A record says where an image may still be mounted although its server has ended: sandboxes live on, and
 * gVisor keeps every file system that was mounted when a sandbox was started.
 */
export class ImageHolds {
  readonly #options: ImageHoldsOptions
  readonly #own: Holder
  readonly #locks = new Map<string, Lock>()
  /** Volumes that are not used, but still have a device. */
  readonly #lingering = new Set<string>()
  /** A volume is taken, released or forgotten, one after the other: a record that goes must not be that of a new use. */
  readonly #changes = new KeyedQueue()
  readonly #timer: NodeJS.Timeout

  constructor(options: ImageHoldsOptions) {
    this.#options = options
    const bootId = options.bootId ?? readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    this.#own = { server: options.server, bootId }
    this.#timer = setInterval(() => void this.#endLingering(), LINGERING_INTERVAL_MS).unref()
  }

  /**
   * @throws SandlotError volume_unavailable when another server uses the image, or its machine may have it mounted;
   *   not_found when another server has just moved the volume
   */
  async take(volumeId: string): Promise<void> {
    const { lock } = this.#options
    if (lock) await this.#changes.run(volumeId, () => this.#take(volumeId, lock))
  }

  async #take(volumeId: string, tryLock: TryLock): Promise<void> {
    const { layout } = this.#options
    const known = this.#locks.get(volumeId)
    let lock: Lock | undefined
    try {
      lock = known ?? tryLock(join(layout.live(volumeId), LOCK))
      await this.#record(volumeId, lock !== undefined)
    } catch (error) {
      if (!known) lock?.release()
      throw (await layout.has('live', volumeId)) ? error : noVolume(volumeId)
    }
    this.#locks.set(volumeId, lock!)
    this.#lingering.delete(volumeId)
  }

  /** Gives an image back that this server has unmounted. Others get it when this machine has no device of it any more. */
  release(volumeId: string): Promise<void> {
    return this.#changes.run(volumeId, () => this.#release(volumeId))
  }

  async #release(volumeId: string): Promise<void> {
    const lock = this.#locks.get(volumeId)
    if (!lock) return
    this.#locks.delete(volumeId)
    try {
      await this.#forget(volumeId)
    } finally {
      lock.release()
    }
  }

  /** Works on an image that is not mounted here. @throws as `take` */
  async during<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    await this.take(volumeId)
    try {
      return await work()
    } finally {
      await this.release(volumeId)
    }
  }

  /** Works while no server uses an image, with the lock but without a record: the work may move the volume. @throws as `take` */
  async whileUnused<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    await this.take(volumeId)
    const lock = this.#locks.get(volumeId)
    try {
      if (lock) await this.#forget(volumeId)
      return await work()
    } finally {
      this.#locks.delete(volumeId)
      lock?.release()
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#endLingering()
    for (const lock of this.#locks.values()) lock.release()
    this.#locks.clear()
  }

  /** Writes that this server uses the image. @param isLocked whether this server has the lock */
  async #record(volumeId: string, isLocked: boolean): Promise<void> {
    const folder = this.#options.layout.live(volumeId)
    const holder = await readHolder(folder, volumeId)
    if (!isLocked) throw heldBy(volumeId, holder, 'which runs')
    if (holder && holder.bootId !== this.#own.bootId && holder.server !== this.#own.server)
      throw heldBy(
        volumeId,
        holder,
        `whose machine may still have it mounted. When that machine is gone for good, delete ${join(folder, HOLDER)}`,
      )
    await writeHolder(folder, this.#own)
  }

  async #endLingering(): Promise<void> {
    for (const volumeId of this.#lingering)
      await this.#changes.run(volumeId, () => this.#forgetUnused(volumeId)).catch(() => {})
  }

  /** Forgets a volume unless this server or another one has begun to use it again. */
  async #forgetUnused(volumeId: string): Promise<void> {
    if (!this.#lingering.has(volumeId)) return
    const lock = this.#options.lock?.(join(this.#options.layout.live(volumeId), LOCK))
    if (!lock) return
    try {
      await this.#forget(volumeId)
    } finally {
      lock.release()
    }
  }

  async #forget(volumeId: string): Promise<void> {
    const folder = this.#options.layout.live(volumeId)
    if (await hasDevice(join(folder, IMAGE))) {
      this.#lingering.add(volumeId)
      return
    }
    this.#lingering.delete(volumeId)
    const { server, bootId } = (await readHolder(folder, volumeId)) ?? {}
    if (server === this.#own.server && bootId === this.#own.bootId)
      await rm(join(folder, HOLDER), { force: true })
  }
}

async function readHolder(folder: string, volumeId: string): Promise<Holder | undefined> {
  const path = join(folder, HOLDER)
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Holder
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return undefined
    const message = `volume '${volumeId}' cannot be used, as the record of the server that uses it cannot be read (${(cause as Error).message}). When no server uses the volume, delete ${path}`
    throw new SandlotError('volume_unavailable', message, { cause })
  }
}

async function writeHolder(folder: string, holder: Holder): Promise<void> {
  const path = join(folder, HOLDER)
  await writeFile(`${path}.new`, JSON.stringify(holder), { flush: true })
  await rename(`${path}.new`, path)
  await syncFolder(folder)
}

const heldBy = (volumeId: string, holder: Holder | undefined, why: string): SandlotError =>
  new SandlotError(
    'volume_unavailable',
    `volume '${volumeId}' is used by the server '${holder?.server ?? 'unknown'}', ${why} (volumes of volumeKind=folder can be used by several servers at once)`,
  )
