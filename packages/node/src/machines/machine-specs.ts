import { join } from 'node:path'
import type { SpecOptions } from '../engine/oci-spec.ts'
import type { Slot } from '../network/slot.ts'
import { guestIds, HOST_IDS, type HostIds, MAX_SLOTS } from './host-ids.ts'
import type { MachineSource } from './machine.ts'

/**
 * CPU shares of warm machines, which must not slow down machines in use; a claimed machine gets shares by its CPU count.
 */
const WARM_CPU_SHARES = 64

export interface MachineSpecsOptions {
  /** `<home>/run`. */
  runDir: string
  /** Folder with this server's envd, for sources that name none. */
  guestDir: string
  canLimitSwap: boolean
  /** Absent: all kernels run as root of this server. */
  hostIds?: HostIds
  /** Returns the folder of a machine's slots for volumes. */
  volumesDirOf: (machineId: string) => string
}

/** Describes machines for the driver. */
export class MachineSpecs {
  readonly #options: MachineSpecsOptions
  readonly #guestIds = guestIds()
  #withoutSlot = 0

  constructor(options: MachineSpecsOptions) {
    this.#options = options
  }

  guestDirOf({ guestDir }: Pick<MachineSource, 'guestDir'>): string {
    return guestDir ?? this.#options.guestDir
  }

  /** @param slot absent: the machine has no network */
  describe(
    source: Omit<MachineSource, 'buildId'>,
    { machineId, cgroup, slot }: { machineId: string; cgroup: string; slot?: Slot },
  ): SpecOptions {
    const { runDir, canLimitSwap, volumesDirOf, hostIds } = this.#options
    const { program, cpuCount, memoryMB, diskSizeMB, imagePath } = source
    return {
      program,
      cpuCount,
      memoryMB,
      diskSizeMB,
      imagePath,
      guestDir: this.guestDirOf(source),
      overlayDir: join(runDir, 'overlay'),
      emptyDir: join(runDir, 'empty'),
      volumesDir: volumesDirOf(machineId),
      netnsPath: slot?.netnsPath,
      cgroupsPath: `/${cgroup}`,
      cpuShares: WARM_CPU_SHARES,
      hostId: hostIds?.(slot?.index ?? this.#nextIdWithoutSlot()),
      guestIds: this.#guestIds,
      canLimitSwap,
    }
  }

  /** Returns one of the ids that no slot uses, for a machine without a slot. */
  #nextIdWithoutSlot(): number {
    return MAX_SLOTS + (this.#withoutSlot++ % (HOST_IDS - MAX_SLOTS))
  }
}
