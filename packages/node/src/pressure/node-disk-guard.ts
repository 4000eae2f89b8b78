import type { Machines } from '../machines/machines.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import type { FrozenMachines } from '../persistence/frozen-machines.ts'
import { DiskGuard, type DiskGuardOptions } from './disk-guard.ts'
import { diskSpace } from './disk-space.ts'

export interface NodeDiskGuardOptions extends Pick<DiskGuardOptions, 'onStalled' | 'onError'> {
  /** Folder on the disk that machines write to. */
  dir: string
  floorMB: number
  machines: Machines
  frozenMachines: FrozenMachines
  tiers: CheckpointTiers
}

/**
 * Creates the guard of a node's disk, which ends frozen machines of paused sandboxes and drops unpacked checkpoints to
 * free space.
 */
export function createDiskGuard({ dir, floorMB, ...options }: NodeDiskGuardOptions): DiskGuard {
  const { machines, frozenMachines, tiers, onStalled, onError } = options
  return new DiskGuard({
    onError,
    onStalled(machine, reason) {
      // a build is ended, as it can be repeated and sandboxes need its disk space
      if (machine.isForBuild && reason !== undefined) {
        machine.endedBecause = reason
        machines.end(machine.machineId).catch(onError)
      } else onStalled(machine, reason)
    },
    floorBytes: floorMB * 2 ** 20,
    space: () => diskSpace(dir),
    running: () => machines.running(),
    usedBytes: (machine) => machines.diskUsedBytes(machine),
    isAlive: (machine) => machines.isAlive(machine),
    stall: (machine) => machines.stall(machine),
    thaw: (machine) => machines.thaw(machine),
    async makeRoom(isEnough) {
      while (!(await isEnough()) && (await frozenMachines.dropOldest())) await machines.settle()
      await tiers.makeRoom(isEnough)
    },
  })
}
