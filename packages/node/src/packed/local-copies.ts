import type { GarbageReport } from '@sandlot/protocol/node'
import type { FolderStore } from '../objects/folder-store.ts'
import { CHUNKS_PREFIX, chunkKey } from '../objects/object-store.ts'
import { planEvictions } from './evictions.ts'
import { mark, sweep } from './garbage.ts'
import type { InUse } from './in-use.ts'
import { chunksOf, type PackedCheckpoint } from './manifest.ts'
import type { ManifestIndex } from './manifest-index.ts'

/** Share of the budget that remains in use after evictions, so that the next eviction is not due at once. */
const LOW_WATER = 0.9

export interface LocalCopiesOptions {
  store: FolderStore
  index: ManifestIndex
  inUse: InUse
  /** Absent: no limit. */
  budgetBytes?: number
}

/** Keeps the chunks on this machine within a byte budget, with one sweep or eviction at a time. */
export class LocalCopies {
  readonly #options: LocalCopiesOptions
  #bytes: number | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: LocalCopiesOptions) {
    this.#options = options
  }

  /** Counts added bytes and evicts when the budget is exceeded. */
  async added(bytes: number): Promise<void> {
    if (this.#bytes !== undefined) this.#bytes += bytes
    await this.trim()
  }

  /**
   * Evicts local copies, least recently used first, of checkpoints that are in the remote store and not in use, until the
   * budget is met or nothing is left to evict. A caller that begins to use an evicted checkpoint finds chunks missing and
   * fetches them again.
   */
  trim(): Promise<void> {
    if (this.#options.budgetBytes === undefined) return Promise.resolve()
    return this.#inTurn(() => this.#trim(this.#options.budgetBytes!))
  }

  /** @param graceMs younger garbage is kept; chunks of running packs and copies are always kept */
  collectGarbage(isDryRun: boolean, graceMs: number): Promise<GarbageReport> {
    return this.#inTurn(async () => {
      const { store, index, inUse } = this.#options
      // read before the marking, so that chunks of operations that begin later are younger than this instant
      const unmodifiedSinceMs = inUse.sweepableBeforeMs() - graceMs
      const marked = await mark(index.allLocal(), inUse.pinnedChunks())
      const report = await sweep(store, { marked, unmodifiedSinceMs, isDryRun })
      this.#bytes = report.keptBytes + (isDryRun ? report.bytes : 0)
      return report
    })
  }

  /** Waits for the running sweep. */
  async settle(): Promise<void> {
    await this.#last
  }

  async #trim(budgetBytes: number): Promise<void> {
    const { store, index, inUse } = this.#options
    this.#bytes ??= await this.#count()
    if (this.#bytes <= budgetBytes) return
    const unmodifiedSinceMs = inUse.sweepableBeforeMs()
    const local = new Map<string, PackedCheckpoint>()
    for await (const checkpoint of index.allLocal()) local.set(checkpoint.id, checkpoint)
    const evictable: string[] = []
    for (const id of await index.localIdsByUse())
      if (!inUse.has(id) && (await index.hasRemote(id))) evictable.push(id)

    const excessBytes = this.#bytes - budgetBytes * LOW_WATER
    const plan = planEvictions(local, evictable, inUse.pinnedChunks(), excessBytes)
    const kept = inUse.pinnedChunks()
    for (const id of plan.ids)
      if (inUse.has(id)) for (const chunk of chunksOf(local.get(id)!).keys()) kept.add(chunk)
      else await index.removeLocal(id)
    for (const { chunk, storedBytes } of plan.chunks)
      if (
        !kept.has(chunk) &&
        (await store.delete(chunkKey(chunk), { ifUnmodifiedSinceMs: unmodifiedSinceMs }))
      )
        this.#bytes -= storedBytes
  }

  async #count(): Promise<number> {
    let bytes = 0
    for await (const { sizeBytes } of this.#options.store.list(CHUNKS_PREFIX)) bytes += sizeBytes
    return bytes
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => {})
    return turn
  }
}
