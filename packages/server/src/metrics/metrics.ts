import type { MachineSample } from '@sandlot/protocol/node'
import type { SandboxMetric } from '@sandlot/protocol/rest'
import type { SandboxRegistry } from '../sandboxes/registry.ts'
import type { Store } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'

/** Samples of the last 10 minutes are kept in memory. */
const RING_SIZE = 120
const MAX_POINTS = 20_000
const PRUNE_BATCH = 5_000
/** Sandboxes of one batch; a sandbox that lived for a day has 17 280 samples. */
const KILLED_BATCH = 20
/** Rows of one insert: only a few sizes, so that few statements are prepared. */
const INSERT_SIZES = [128, 16, 1]

/** Samples of all sandboxes: the newest in memory, those of the last day in the database. It has no rules beside these, hence no service and repository. */
export class SandboxMetrics {
  readonly #store: Store
  readonly #registry: SandboxRegistry
  readonly #rings = new Map<string, MachineSample[]>()
  /** The metrics of sandboxes that ended before this time are deleted. */
  #droppedToMs = 0

  constructor(store: Store, registry: SandboxRegistry) {
    this.#store = store
    this.#registry = registry
  }

  /** Stores samples in one transaction. */
  async record(samples: MachineSample[]): Promise<void> {
    const rows = samples.flatMap((sample) => {
      const sandbox = this.#registry.byMachine(sample.machineId)
      if (!sandbox) return []
      const ring = this.#rings.get(sandbox.sandboxId) ?? []
      if (ring.push(sample) > RING_SIZE) ring.shift()
      this.#rings.set(sandbox.sandboxId, ring)
      return [
        {
          sandbox_id: sandbox.sandboxId,
          timestamp: sample.timestampMs,
          cpu_used_pct: sample.cpuUsedPct,
          mem_used: sample.memUsed,
          mem_cache: sample.memCache,
          disk_used: sample.diskUsed,
        },
      ]
    })
    for (const sandboxId of this.#rings.keys())
      if (!this.#registry.get(sandboxId)) this.#rings.delete(sandboxId)
    if (rows.length === 0) return
    await inTransaction(this.#store, async (transaction) => {
      for (const batch of cutInto(rows, INSERT_SIZES))
        await transaction
          .insertInto('sandbox_metrics')
          .values(batch)
          .onConflict((conflict) => conflict.doNothing())
          .execute()
    })
  }

  latest(sandboxId: string): SandboxMetric | undefined {
    const sample = this.#rings.get(sandboxId)?.at(-1)
    return sample && toMetric(sample)
  }

  /** Reads samples; both ends are inclusive. */
  async range(sandboxId: string, fromMs: number, toMs: number): Promise<SandboxMetric[]> {
    const sandbox = this.#registry.get(sandboxId)
    if (!sandbox) return []
    const ring = this.#rings.get(sandboxId) ?? []
    if (ring[0] && fromMs >= ring[0].timestampMs)
      return ring.filter(({ timestampMs }) => timestampMs >= fromMs && timestampMs <= toMs).map(toMetric)
    const rows = await this.#store
      .selectFrom('sandbox_metrics')
      .selectAll()
      .where('sandbox_id', '=', sandboxId)
      .where('timestamp', '>=', fromMs)
      .where('timestamp', '<=', toMs)
      .orderBy('timestamp')
      .limit(MAX_POINTS)
      .execute()
    const { cpuCount, memoryMB, diskSizeMB } = sandbox
    return rows.map((row) =>
      toMetric({
        machineId: sandbox.machineId,
        timestampMs: row.timestamp,
        cpuCount,
        cpuUsedPct: row.cpu_used_pct,
        memUsed: row.mem_used,
        memTotal: memoryMB * 2 ** 20,
        memCache: row.mem_cache,
        diskUsed: row.disk_used,
        diskTotal: diskSizeMB * 2 ** 20,
      }),
    )
  }

  /** Deletes the metrics of a batch of sandboxes that were killed before `beforeMs`. @returns of how many */
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

/** Cuts items into pieces of the given sizes, in order, the largest that fits first; the last size is 1. */
function cutInto<T>(items: T[], sizes: number[]): T[][] {
  const pieces: T[][] = []
  for (let start = 0; start < items.length; ) {
    const size = sizes.find((candidate) => candidate <= items.length - start)!
    pieces.push(items.slice(start, start + size))
    start += size
  }
  return pieces
}

const toMetric = ({ machineId: _, timestampMs, ...sample }: MachineSample): SandboxMetric => ({
  timestamp: new Date(timestampMs).toISOString(),
  timestampUnix: Math.floor(timestampMs / 1000),
  ...sample,
})
