import { existsSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import type { GarbageReport, UsageReport } from '@sandlot/protocol/node'
import { isDamage } from '../packed/manifest.ts'
import type { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import type { StartPriority } from '../pool/start-priority.ts'
import { BackgroundQueue } from './background-queue.ts'
import { type CheckpointFolder, MANIFEST } from './checkpoint-folder.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'

/** Minimum time between urgent collections, as little becomes garbage in between. */
const COLLECT_INTERVAL_MS = 10_000

export interface CheckpointTiersOptions {
  folder: CheckpointFolder
  packed: PackedCheckpoints
  /** Bytes of unpacked copies to keep beside the packed ones, so that a resume need not unpack files. */
  unpackedBytes: number
  /** Delays sealing while starts are waiting. */
  startPriority: Pick<StartPriority, 'wait'>
  onError: (error: unknown) => void
}

/**
 * Keeps checkpoints in two tiers: unpacked in a folder each, packed in chunks, or both. New checkpoints are packed in the
 * background; unpacked copies are dropped, least recently used first, when they exceed their budget.
 */
export class CheckpointTiers {
  readonly #options: CheckpointTiersOptions
  /** Sizes of unpacked copies that may be dropped, the least recently used first. */
  readonly #unpacked = new Map<string, number>()
  readonly #sealing = new BackgroundQueue((id) => this.#sealNow(id))
  readonly #packing = new BackgroundQueue((id) => this.#packNow(id))
  readonly #closing = new AbortController()
  /** Number of users by checkpoint; checkpoints in use stay unpacked. */
  readonly #users = new Map<string, number>()
  /** Checkpoints that were deleted while they were in use. */
  readonly #gone = new Set<string>()
  readonly #expanding = new Map<string, Promise<void>>()
  #collecting: Promise<unknown> | undefined
  #collectedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: CheckpointTiersOptions) {
    this.#options = options
  }

  /** Ids of all complete checkpoints, packed or not. */
  async list(): Promise<Set<string>> {
    const { folder, packed } = this.#options
    return new Set([...(await folder.list()), ...(await packed.list())])
  }

  /**
   * Called at a start: packs checkpoints that are not packed yet. @param pending checkpoints that callers will seal later
   */
  async recover(pending: ReadonlySet<string> = new Set()): Promise<void> {
    const { folder, packed } = this.#options
    const isPacked = new Set(await packed.list())
    for (const id of await folder.list()) {
      if (isPacked.has(id)) this.#unpacked.set(id, await folder.sizeBytes(id))
      else if (!pending.has(id)) this.pack(id)
    }
    await this.#trim()
  }

  /** Flushes a checkpoint to the disk when no start is waiting, then packs it, all in the background. */
  seal(checkpointId: string): void {
    this.#options.startPriority.wait(this.#closing.signal).then(
      () => this.#sealing.add(checkpointId),
      // shutting down; the next start finds the checkpoint
      () => {},
    )
  }

  async #sealNow(id: string): Promise<void> {
    const { folder } = this.#options
    if (!existsSync(folder.dirOf(id))) return
    try {
      await folder.seal(id)
      this.pack(id)
    } catch (error) {
      this.#reportUnlessGone(id, error)
    }
  }

  /** Packs a checkpoint in the background. */
  pack(checkpointId: string): void {
    this.#packing.add(checkpointId)
  }

  async #packNow(id: string): Promise<void> {
    const { folder, packed } = this.#options
    const dir = folder.dirOf(id)
    if (!existsSync(dir)) return
    try {
      // a crash may have interrupted the sealing
      if (!(await folder.isSealed(id))) await folder.seal(id)
      const { logicalBytes } = await packed.pack(id, dir)
      // the checkpoint was deleted during the pack, so no unpacked copy needs to be counted
      if (!existsSync(dir)) return
      this.#unpacked.set(id, logicalBytes)
      await this.#trim()
    } catch (error) {
      // no data is lost: the folder still exists
      const isExpected =
        error instanceof SandlotError && ['conflict', 'server_draining'].includes(error.errorName)
      if (!isExpected) this.#reportUnlessGone(id, error)
    }
  }

  #reportUnlessGone(id: string, error: unknown): void {
    const { folder, onError } = this.#options
    if (existsSync(folder.dirOf(id))) onError(error)
  }

  /**
   * Lets `work` use the files in the checkpoint's folder. When it finds them damaged, they are replaced from the packed
   * copy and `work` is called again.
   * @throws SandlotError not_found (also when the checkpoint is deleted during `work`), checkpoint_damaged,
   * checkpoint_store_unavailable, and what `work` throws
   */
  async use<T>(checkpointId: string, work: () => Promise<T>): Promise<T> {
    this.#users.set(checkpointId, (this.#users.get(checkpointId) ?? 0) + 1)
    try {
      await this.#unpack(checkpointId)
      try {
        return await work()
      } catch (error) {
        if (!isDamage(error)) throw error
        await this.#unpackAgain(checkpointId, error)
        return await work()
      }
    } catch (error) {
      if (!this.#gone.has(checkpointId)) throw error
      throw new SandlotError('not_found', `checkpoint '${checkpointId}' was deleted meanwhile`, {
        cause: error,
      })
    } finally {
      const left = this.#users.get(checkpointId)! - 1
      if (left > 0) this.#users.set(checkpointId, left)
      else {
        this.#users.delete(checkpointId)
        this.#gone.delete(checkpointId)
      }
    }
  }

  #noteGone(checkpointId: string): void {
    if (this.#users.has(checkpointId)) this.#gone.add(checkpointId)
  }

  /**
   * Reads the manifest, wherever the checkpoint is stored. @throws SandlotError not_found, checkpoint_damaged,
   * checkpoint_store_unavailable
   */
  async describe(checkpointId: string): Promise<CheckpointManifest> {
    const { folder } = this.#options
    return (await this.peek(checkpointId)) ?? this.use(checkpointId, () => folder.read(checkpointId))
  }

  /** Reads the manifest from this machine. @returns undefined when only the remote store may have it */
  async peek(checkpointId: string): Promise<CheckpointManifest | undefined> {
    const { folder, packed } = this.#options
    if (existsSync(folder.dirOf(checkpointId))) return folder.read(checkpointId)
    const content = await packed.readFile(checkpointId, MANIFEST)
    return content && folder.parse(content.toString('utf8'), checkpointId)
  }

  async #unpack(checkpointId: string): Promise<void> {
    const { folder, packed } = this.#options
    const dir = folder.dirOf(checkpointId)
    const sizeBytes = this.#unpacked.get(checkpointId)
    if (sizeBytes !== undefined) {
      this.#unpacked.delete(checkpointId)
      this.#unpacked.set(checkpointId, sizeBytes)
    }
    if (existsSync(dir) && !this.#expanding.has(checkpointId)) return
    await this.#expandOnce(checkpointId, () => packed.expand(checkpointId, dir))
    this.#unpacked.set(checkpointId, await folder.sizeBytes(checkpointId))
  }

  #expandOnce(checkpointId: string, expand: () => Promise<void>): Promise<void> {
    let expanding = this.#expanding.get(checkpointId)
    if (!expanding) {
      expanding = expand().finally(() => this.#expanding.delete(checkpointId))
      this.#expanding.set(checkpointId, expanding)
    }
    return expanding
  }

  /** @throws SandlotError the damage, when there is no undamaged packed copy */
  async #unpackAgain(checkpointId: string, damage: SandlotError): Promise<void> {
    const { folder, packed, onError } = this.#options
    if (!(await packed.has(checkpointId).catch(() => false))) throw damage
    try {
      await this.#expandOnce(checkpointId, () =>
        folder.replace(checkpointId, (dir) => packed.expand(checkpointId, dir)),
      )
    } catch (error) {
      if (!isDamage(error)) throw error
      const message = `${damage.message}; its packed copy is damaged too: ${error.message}`
      throw new SandlotError('checkpoint_damaged', message, { cause: error })
    }
    const message = `${damage.message}; its packed copy is intact and was unpacked again`
    onError(new SandlotError('checkpoint_damaged', message, { cause: damage }))
  }

  /** Replaces the files of a checkpoint. @param write writes new files; a crash leaves the old or the new ones */
  rewrite(checkpointId: string, write: () => Promise<unknown>): Promise<void> {
    const { packed } = this.#options
    return this.use(checkpointId, async () => {
      this.#unpacked.delete(checkpointId)
      await packed.delete(checkpointId)
      await write()
    })
  }

  async remove(checkpointId: string): Promise<void> {
    const { folder, packed } = this.#options
    this.#noteGone(checkpointId)
    this.#unpacked.delete(checkpointId)
    await folder.remove(checkpointId)
    await packed.delete(checkpointId)
  }

  /** Removes the copy on this machine after a takeover; the one in the remote store belongs to the new owner. */
  async dropLocal(checkpointId: string): Promise<void> {
    const { folder, packed } = this.#options
    this.#noteGone(checkpointId)
    this.#unpacked.delete(checkpointId)
    await folder.remove(checkpointId)
    await packed.dropLocal(checkpointId)
  }

  /** Whether the checkpoint is safe in the remote store. */
  async isRemote(checkpointId: string): Promise<boolean> {
    const { packed } = this.#options
    if (!(await packed.list()).includes(checkpointId)) return false
    return (await packed.uploadState(checkpointId)).state === 'remote'
  }

  async #trim(): Promise<void> {
    const { unpackedBytes } = this.#options
    let total = [...this.#unpacked.values()].reduce((sum, size) => sum + size, 0)
    for (const [id, size] of this.#unpacked) {
      if (total <= unpackedBytes) return
      if (await this.#dropUnpacked(id)) total -= size
    }
  }

  /** @returns false when the checkpoint is in use */
  async #dropUnpacked(checkpointId: string): Promise<boolean> {
    if (this.#users.has(checkpointId)) return false
    this.#unpacked.delete(checkpointId)
    await this.#options.folder.remove(checkpointId)
    return true
  }

  /**
   * Frees disk space until `isEnough` resolves with true: unpacked copies of packed checkpoints, least recently used first,
   * then chunks that no checkpoint needs.
   * @returns whether there is enough space now
   */
  async makeRoom(isEnough: () => Promise<boolean>): Promise<boolean> {
    for (const id of [...this.#unpacked.keys()]) {
      if (await isEnough()) return true
      await this.#dropUnpacked(id)
    }
    if (await isEnough()) return true
    await this.#collectNow()
    return isEnough()
  }

  /** Concurrent callers share one collection. */
  async #collectNow(): Promise<void> {
    const { packed, onError } = this.#options
    if (!this.#collecting && performance.now() - this.#collectedAtMs < COLLECT_INTERVAL_MS) return
    this.#collecting ??= packed
      .collectGarbage({ isDryRun: false, isUrgent: true })
      .catch(onError)
      .finally(() => {
        this.#collectedAtMs = performance.now()
        this.#collecting = undefined
      })
    await this.#collecting
  }

  collectGarbage(isDryRun: boolean): Promise<GarbageReport> {
    return this.#options.packed.collectGarbage({ isDryRun })
  }

  usage(ids: readonly string[]): Promise<UsageReport> {
    return this.#options.packed.usage(ids)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    // no further work starts, and a running pack ends with the packer
    const queues = [this.#sealing.close(), this.#packing.close()]
    await this.#options.packed.close()
    await Promise.all(queues)
  }
}
