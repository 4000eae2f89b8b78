import { availableParallelism, totalmem } from 'node:os'
import type { BuildResources } from '@sandlot/protocol/node'
import { diskSpace } from '../pressure/disk-space.ts'

const MiB = 2 ** 20

/** Returns the memory of this machine, or of the container that the server runs in. */
export function machineMemoryMB(): number {
  const constrained = process.constrainedMemory()
  return Math.floor((constrained > 0 ? Math.min(totalmem(), constrained) : totalmem()) / MiB)
}

/**
 * Computes the most that one sandbox can have on this machine.
 * @param folder on the disk that sandboxes write to
 * @param base resources of the base template, which are always allowed
 */
export function nodeCapacity(folder: string, base: BuildResources): BuildResources {
  return {
    cpuCount: Math.max(base.cpuCount, availableParallelism()),
    memoryMB: Math.max(base.memoryMB, machineMemoryMB()),
    diskSizeMB: Math.max(base.diskSizeMB, Math.floor(diskSpace(folder).sizeBytes / MiB)),
  }
}
