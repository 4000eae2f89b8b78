import type { MachineSample } from '@sandlot/protocol/node'
import type { SandboxMetric } from '@sandlot/protocol/rest'
import type { SandboxRegistry } from '../sandboxes/registry.ts'
import { MAX_POINTS, type MetricRow, type MetricsRepository } from './repository.ts'

/** Samples of the last 10 minutes are kept in memory. */
const RING_SIZE = 120

/** Samples of CPU, memory and disk of sandboxes: the newest in memory, those of the last day in the database. */
export class MetricsService {
  readonly #repository: MetricsRepository
  readonly #registry: SandboxRegistry
  readonly #rings = new Map<string, MachineSample[]>()

  constructor(repository: MetricsRepository, registry: SandboxRegistry) {
    this.#repository = repository
    this.#registry = registry
  }

  /** Stores samples of machines that sandboxes run on, and ignores all others. */
  async record(samples: MachineSample[]): Promise<void> {
    const rows: MetricRow[] = []
    for (const sample of samples) {
      const sandbox = this.#registry.byMachine(sample.machineId)
      if (!sandbox) continue
      const ring = this.#rings.get(sandbox.sandboxId) ?? []
      if (ring.push(sample) > RING_SIZE) ring.shift()
      this.#rings.set(sandbox.sandboxId, ring)
      rows.push({
        sandbox_id: sandbox.sandboxId,
        timestamp: sample.timestampMs,
        cpu_used_pct: sample.cpuUsedPct,
        mem_used: sample.memUsed,
        mem_cache: sample.memCache,
        disk_used: sample.diskUsed,
      })
    }
    for (const sandboxId of this.#rings.keys())
      if (!this.#registry.get(sandboxId)) this.#rings.delete(sandboxId)
    if (rows.length > 0) await this.#repository.insert(rows)
  }

  /** Returns the newest sample of a sandbox. */
  latest(sandboxId: string): SandboxMetric | undefined {
    const sample = this.#rings.get(sandboxId)?.at(-1)
    return sample && toMetric(sample)
  }

  /** Returns the samples of a sandbox that is not killed, oldest first; both ends are inclusive. */
  async range(sandboxId: string, fromMs: number, toMs: number): Promise<SandboxMetric[]> {
    const sandbox = this.#registry.get(sandboxId)
    if (!sandbox) return []
    const ring = this.#rings.get(sandboxId) ?? []
    const newest = ring
      .filter(({ timestampMs }) => timestampMs >= fromMs && timestampMs <= toMs)
      .map(toMetric)
    const ringStartMs = ring[0]?.timestampMs ?? Number.POSITIVE_INFINITY
    if (fromMs >= ringStartMs) return newest
    // the newest samples may not be stored yet
    const rows = await this.#repository.range(sandboxId, fromMs, Math.min(toMs, ringStartMs - 1))
    const { machineId, cpuCount, memoryMB, diskSizeMB } = sandbox
    const stored = rows.map((row) =>
      toMetric({
        machineId,
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
    return [...stored, ...newest].slice(0, MAX_POINTS)
  }
}

const toMetric = ({ machineId: _, timestampMs, ...sample }: MachineSample): SandboxMetric => ({
  timestamp: new Date(timestampMs).toISOString(),
  timestampUnix: Math.floor(timestampMs / 1000),
  ...sample,
})
