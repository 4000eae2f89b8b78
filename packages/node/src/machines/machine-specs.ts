import { join } from 'node:path'
import type { SpecOptions } from '../engine/oci-spec.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { Slot } from '../network/slot.ts'
import { HOST_IDS, hostIdsFor, MAX_SLOTS } from './host-ids.ts'
import type { MachineSource } from './machine.ts'

/** Warm machines must not slow those in use, which get a share by their CPU count when they are claimed. */
const WARM_CPU_SHARES = 64

export interface MachineSpecsOptions {
  names: InstanceNames
  /** `<home>/run`. */
  runDir: string
  /** Folder with this server's envd, for sources without one. */
  guestDir: string
  canLimitSwap: boolean
}

/** Describes machines for the driver. */
export class MachineSpecs {
  readonly #options: MachineSpecsOptions
  readonly #hostIds: ReturnType<typeof hostIdsFor>
  #withoutSlot = 0

  constructor(options: MachineSpecsOptions) {
    this.#options = options
    this.#hostIds = hostIdsFor(options.names.instance)
  }

  guestDirOf({ guestDir }: Pick<MachineSource, 'guestDir'>): string {
    return guestDir ?? this.#options.guestDir
  }

  /** @param slot absent: the machine has no network */
  describe(source: Omit<MachineSource, 'buildId'>, cgroup: string, slot?: Slot): SpecOptions {
    const { runDir, canLimitSwap } = this.#options
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
      netnsPath: slot?.netnsPath,
      cgroupsPath: `/${cgroup}`,
      cpuShares: WARM_CPU_SHARES,
      hostId: this.#hostIds?.(slot?.index ?? this.#nextIdWithoutSlot()),
      canLimitSwap,
    }
  }

  /** Machines without a slot share the ids that slots leave over. */
  #nextIdWithoutSlot(): number {
    return MAX_SLOTS + (this.#withoutSlot++ % (HOST_IDS - MAX_SLOTS))
  }
}
