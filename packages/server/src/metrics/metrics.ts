import type { MachineSample } from '@sandlot/node'
import type { SandboxMetric } from '@sandlot/protocol/rest'
import type { SandboxRegistry } from '../sandboxes/registry.ts'
import type { Store } from '../store/store.ts'

/** 10 minutes of samples are answered from memory. */
const RING_SIZE = 120
const MAX_POINTS = 20_000
const PRUNE_BATCH = 5_000

/** Samples of all sandboxes: the newest in memory, all of the last day in the store. */
export class SandboxMetrics {
  readonly #store: Store
  readonly #registry: SandboxRegistry
  readonly #rings = new Map<string, MachineSample[]>()

  constructor(store: Store, registry: SandboxRegistry) {
    this.#store = store
    this.#registry = registry
  }

  /** One transaction for all. */
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
    // SQLite allows 32 766 parameters in a statement
    for (let i = 0; i < rows.length; i += 1000)
      await this.#store
        .insertInto('sandbox_metrics')
        .values(rows.slice(i, i + 1000))
        .onConflict((c) => c.doNothing())
        .execute()
  }

  latest(sandboxId: string): SandboxMetric | undefined {
    const sample = this.#rings.get(sandboxId)?.at(-1)
    return sample && toMetric(sample)
  }

  /** Both ends inclusive. */
  async range(sandboxId: string, fromMs: number, toMs: number): Promise<SandboxMetric[]> {
    const sandbox = this.#registry.get(sandboxId)
    if (!sandbox) return []
    const ring = this.#rings.get(sandboxId) ?? []
    const oldest = ring[0]?.timestampMs ?? Number.POSITIVE_INFINITY
    if (fromMs >= oldest || oldest - sandbox.startedAtMs < 10_000)
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

  /** @returns how many rows older than `beforeMs` went, at most a batch */
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

const toMetric = ({ machineId: _, timestampMs, ...sample }: MachineSample): SandboxMetric => ({
  timestamp: new Date(timestampMs).toISOString(),
  timestampUnix: Math.floor(timestampMs / 1000),
  ...sample,
})
