import type { Insertable } from 'kysely'
import type { Store } from '../store/open-store.ts'
import type { SandboxMetricsTable } from '../store/schema.ts'
import { inTransaction } from '../store/transactions.ts'

export const MAX_POINTS = 20_000
const PRUNE_BATCH = 5_000
/** Sandboxes of one batch; a sandbox that lived for a day has 17 280 samples. */
const KILLED_BATCH = 20
/** Numbers of rows of one insert: only a few, so that few statements are prepared. */
const INSERT_SIZES = [128, 16, 1]

export type MetricRow = Insertable<SandboxMetricsTable>

/** Rows of samples, kept for a day. */
export class MetricsRepository {
  readonly #store: Store
  /** The metrics of sandboxes that ended before this time have been deleted. */
  #droppedToMs = 0

  constructor(store: Store) {
    this.#store = store
  }

  /** Inserts samples in one transaction. */
  async insert(rows: MetricRow[]): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      for (const batch of cutInto(rows, INSERT_SIZES))
        await transaction
          .insertInto('sandbox_metrics')
          .values(batch)
          .onConflict((conflict) => conflict.doNothing())
          .execute()
    })
  }

  /** Reads the samples of a sandbox, oldest first; both ends are inclusive. */
  range(sandboxId: string, fromMs: number, toMs: number) {
    return this.#store
      .selectFrom('sandbox_metrics')
      .selectAll()
      .where('sandbox_id', '=', sandboxId)
      .where('timestamp', '>=', fromMs)
      .where('timestamp', '<=', toMs)
      .orderBy('timestamp')
      .limit(MAX_POINTS)
      .execute()
  }

  /** Deletes the metrics of a batch of sandboxes that were killed before `beforeMs`. @returns the number of sandboxes */
  async pruneKilled(beforeMs: number): Promise<number> {
    const killed = await this.#store
      .selectFrom('sandboxes')
      .select(['id', 'ended_at'])
      .where('state', '=', 'killed')
      .where('ended_at', '>=', this.#droppedToMs)
      .where('ended_at', '<', beforeMs)
      .orderBy('ended_at')
      .limit(KILLED_BATCH)
      .execute()
    const lastMs = killed.at(-1)?.ended_at
    if (lastMs == null) return 0
    const ids = killed.map(({ id }) => id)
    await this.#store.deleteFrom('sandbox_metrics').where('sandbox_id', 'in', ids).execute()
    // more than a batch may have ended in one millisecond: `prune` deletes the rest by age
    this.#droppedToMs = killed.length < KILLED_BATCH ? lastMs + 1 : Math.max(lastMs, this.#droppedToMs + 1)
    return killed.length
  }

  /** Deletes a batch of rows older than `beforeMs`. @returns how many */
  async prune(beforeMs: number): Promise<number> {
    const newest = await this.#store
      .selectFrom('sandbox_metrics')
      .select('timestamp')
      .where('timestamp', '<', beforeMs)
      .orderBy('timestamp')
      .offset(PRUNE_BATCH)
      .limit(1)
      .executeTakeFirst()
    const result = await this.#store
      .deleteFrom('sandbox_metrics')
      .where('timestamp', '<', newest?.timestamp ?? beforeMs)
      .executeTakeFirst()
    return Number(result.numDeletedRows)
  }
}

/** Cuts items into pieces of the given sizes, in order, using the largest size that fits; the last size is 1. */
function cutInto<T>(items: T[], sizes: number[]): T[][] {
  const pieces: T[][] = []
  for (let start = 0; start < items.length; ) {
    const size = sizes.find((candidate) => candidate <= items.length - start)!
    pieces.push(items.slice(start, start + size))
    start += size
  }
  return pieces
}
