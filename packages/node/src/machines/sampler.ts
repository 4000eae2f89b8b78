import type { MachineSample } from '@sandlot/protocol/node'
import type { Driver } from '../engine/driver.ts'
import type { Cgroups } from './cgroups.ts'
import type { LiveMachine } from './machine.ts'

const MIB = 2 ** 20

/** Measures CPU, memory and disk of machines; CPU use is measured since the previous pass. */
export class Sampler {
  readonly #cgroups: Pick<Cgroups, 'usage'>
  readonly #driver: Pick<Driver, 'diskUsedBytes'>
  readonly #last = new Map<string, { cpuNanoseconds: number; atMs: number }>()

  constructor(cgroups: Pick<Cgroups, 'usage'>, driver: Pick<Driver, 'diskUsedBytes'>) {
    this.#cgroups = cgroups
    this.#driver = driver
  }

  /** Makes one pass. Machines that are gone have no sample. */
  async sample(machines: readonly LiveMachine[]): Promise<MachineSample[]> {
    const known = new Set(machines.map(({ machineId }) => machineId))
    for (const machineId of this.#last.keys()) if (!known.has(machineId)) this.#last.delete(machineId)
    const samples = await Promise.all(machines.map((machine) => this.#sampleOne(machine)))
    return samples.filter((sample) => sample !== undefined)
  }

  async #sampleOne({ machineId, cgroup, pid, resources }: LiveMachine): Promise<MachineSample | undefined> {
    const [usage, diskUsed] = await Promise.all([
      this.#cgroups.usage(cgroup),
      this.#driver.diskUsedBytes(pid),
    ])
    if (!usage) return undefined
    const memoryBytes = resources.memoryMB * MIB
    return {
      machineId,
      timestampMs: Date.now(),
      cpuCount: resources.cpuCount,
      cpuUsedPct: this.#cpuPercent(machineId, usage.cpuNanoseconds),
      memUsed: Math.min(usage.memoryBytes, memoryBytes),
      memTotal: memoryBytes,
      memCache: usage.cacheBytes,
      diskUsed,
      diskTotal: resources.diskSizeMB * MIB,
    }
  }

  #cpuPercent(machineId: string, cpuNanoseconds: number): number {
    const atMs = performance.now()
    const before = this.#last.get(machineId)
    this.#last.set(machineId, { cpuNanoseconds, atMs })
    if (!before) return 0
    const usedMs = Math.max(0, cpuNanoseconds - before.cpuNanoseconds) / 1e6
    return Math.round((usedMs / (atMs - before.atMs)) * 10_000) / 100
  }
}
