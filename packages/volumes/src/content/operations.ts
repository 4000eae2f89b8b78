import { setTimeout as delay } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'

/** Requests that work on one volume at a time, transfers included. */
const MAX_REQUESTS = 64
/** Folders that listings of one volume, and all, have open at a time, each with two descriptors; a process often has 20 000. */
const MAX_FOLDERS_OF_VOLUME = 256
const MAX_FOLDERS = 2048
const DEFAULT_PATIENCE_MS = 10_000

/**
 * Counts the work of this process on the files of each volume, and keeps it off a volume that is frozen: a call that waits
 * for a frozen file system takes one of the few threads that all file operations of the server share.
 */
export class Operations {
  readonly #counts = new Map<string, number>()
  readonly #folders = new Map<string, number>()
  #folderCount = 0
  readonly #holds = new Map<string, Promise<void>>()
  /** Called when the last operation on a volume ends. */
  readonly #onIdle = new Map<string, () => void>()
  readonly #patienceMs: number

  /** @param patienceMs how long requests and a hold wait for each other. Default 10 seconds */
  constructor(patienceMs = DEFAULT_PATIENCE_MS) {
    this.#patienceMs = patienceMs
  }

  /** @returns ends the operation @throws SandlotError rate_limited */
  async beginRequest(volumeId: string): Promise<() => void> {
    const hold = this.#holds.get(volumeId)
    if (hold) await Promise.race([hold, delay(this.#patienceMs, undefined, { ref: false })])
    if (this.#holds.has(volumeId)) throw busy('the volume is being copied')
    const count = this.#counts.get(volumeId) ?? 0
    if (count >= MAX_REQUESTS) throw busy(`${count} requests work on the files of this volume already`)
    return this.#begin(volumeId)
  }

  /** Reserves folders that a listing has open. @returns gives them back; to be called once @throws SandlotError rate_limited */
  reserveFolders(volumeId: string, count: number): () => void {
    const ofVolume = this.#folders.get(volumeId) ?? 0
    if (ofVolume + count > MAX_FOLDERS_OF_VOLUME || this.#folderCount + count > MAX_FOLDERS)
      throw busy('other listings of this depth are being read already')
    this.#add(volumeId, count)
    return () => this.#add(volumeId, -count)
  }

  #add(volumeId: string, folders: number): void {
    this.#folderCount += folders
    const ofVolume = (this.#folders.get(volumeId) ?? 0) + folders
    if (ofVolume > 0) this.#folders.set(volumeId, ofVolume)
    else this.#folders.delete(volumeId)
  }

  /** Waits as long as it takes. @returns ends the operation @throws the reason of `signal` */
  async beginInBackground(volumeId: string, signal: AbortSignal): Promise<() => void> {
    for (let hold = this.#holds.get(volumeId); hold; hold = this.#holds.get(volumeId)) {
      signal.throwIfAborted()
      const { promise: aborted, resolve } = Promise.withResolvers<void>()
      const onAbort = () => resolve()
      signal.addEventListener('abort', onAbort)
      await Promise.race([hold, aborted]).finally(() => signal.removeEventListener('abort', onAbort))
    }
    return this.#begin(volumeId)
  }

  /** Works while there are no operations on a volume. @throws SandlotError conflict when those in progress do not end soon */
  async whileHeld<T>(volumeId: string, work: () => Promise<T>): Promise<T> {
    for (let hold = this.#holds.get(volumeId); hold; hold = this.#holds.get(volumeId)) await hold
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#holds.set(volumeId, promise)
    try {
      await this.#whenIdle(volumeId)
      return await work()
    } finally {
      this.#holds.delete(volumeId)
      resolve()
    }
  }

  #begin(volumeId: string): () => void {
    this.#counts.set(volumeId, (this.#counts.get(volumeId) ?? 0) + 1)
    let hasEnded = false
    return () => {
      if (hasEnded) return
      hasEnded = true
      const left = this.#counts.get(volumeId)! - 1
      if (left > 0) return void this.#counts.set(volumeId, left)
      this.#counts.delete(volumeId)
      this.#onIdle.get(volumeId)?.()
    }
  }

  async #whenIdle(volumeId: string): Promise<void> {
    if (!this.#counts.has(volumeId)) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onIdle.set(volumeId, resolve)
    await Promise.race([promise, delay(this.#patienceMs, undefined, { ref: false })])
    this.#onIdle.delete(volumeId)
    const count = this.#counts.get(volumeId) ?? 0
    if (count > 0)
      throw new SandlotError(
        'conflict',
        `${count} requests read or write files of the volume: try again when they are done`,
      )
  }
}

const busy = (message: string): SandlotError =>
  new SandlotError('rate_limited', message, { retryAfterSeconds: 1 })
