import type { MachineSample } from '@sandlot/protocol/node'
import type { Driver } from '../engine/driver.ts'
import type { Cgroups } from './cgroups.ts'
import type { LiveMachine } from './machine.ts'

/** CPU, memory and disk of machines: each call is one pass, CPU counts from the last pass. */
export function createSampler(cgroups: Cgroups, driver: Driver) {
  const last = new Map<string, { cpuNanoseconds: number; atMs: number }>()

  return async function sample(machines: LiveMachine[]): Promise<MachineSample[]> {
    const known = new Set(machines.map((machine) => machine.machineId))
    for (const machineId of last.keys()) if (!known.has(machineId)) last.delete(machineId)
    const samples = await Promise.all(
      machines.map(async (machine): Promise<MachineSample[]> => {
        const { machineId, resources } = machine
        const [usage, diskUsed] = await Promise.all([
          cgroups.usage(machine.cgroup),
          driver.diskUsedBytes(machine.pid),
        ])
        if (!usage) return []
        const atMs = performance.now()
        const before = last.get(machineId)
        last.set(machineId, { cpuNanoseconds: usage.cpuNanoseconds, atMs })
        const cpuUsedPct = before
          ? Math.max(0, (usage.cpuNanoseconds - before.cpuNanoseconds) / 1e6 / (atMs - before.atMs)) * 100
          : 0
        return [
          {
            machineId,
            timestampMs: Date.now(),
            cpuCount: resources.cpuCount,
            cpuUsedPct: Math.round(cpuUsedPct * 100) / 100,
            memUsed: Math.min(usage.memoryBytes, resources.memoryMB * 2 ** 20),
            memTotal: resources.memoryMB * 2 ** 20,
            memCache: usage.cacheBytes,
            diskUsed,
            diskTotal: resources.diskSizeMB * 2 ** 20,
          },
        ]
      }),
    )
    return samples.flat()
  }
}
