import { SandlotError } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'
import { SLOT_COUNT } from './slot-mounts.ts'

/** A volume in a machine, as `volumes.json` and the manifests of checkpoints record it. */
export interface SlotVolume extends VolumeMount {
  slot: number
}

/** A volume that a guest has mounted at a path. */
export interface MountedVolume extends SlotVolume {
  /**
   * Whether the volume is on the slot. False: the guest sees an empty folder, as the checkpoint that it was restored from
   * had the mount, and the volume was not there at the restore. It cannot be bound now: the guest would not see it.
   */
  isBound: boolean
}

/**
 * Reads the volumes of a manifest or of `volumes.json`. A manifest may come from a bucket, so each field is checked.
 * @throws Error
 */
export function toSlotVolumes(value: unknown): SlotVolume[] {
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new Error('its volumes are not a list')
  return value.map((one) => {
    const { slot, volumeId, name, path, isReadOnly } = one as SlotVolume
    const isValid =
      Number.isInteger(slot) &&
      slot >= 0 &&
      slot < SLOT_COUNT &&
      [volumeId, name, path].every((text) => typeof text === 'string') &&
      path.startsWith('/')
    if (!isValid) throw new Error(`it has an invalid volume: ${JSON.stringify(one).slice(0, 200)}`)
    return { slot, volumeId, name, path, ...(isReadOnly === true && { isReadOnly }) }
  })
}

/** Changes that lead from what is mounted to what is wanted, in the order in which they must be made. */
export interface MountPlan {
  unmount: MountedVolume[]
  mount: VolumeMount[]
}

/** The volumes of one machine and their slots. */
export class VolumeTable {
  #mounted: MountedVolume[] = []
  /** Last use of each slot. */
  readonly #lastUse: Array<string | undefined> = Array(SLOT_COUNT)
  readonly #reserved = new Set<number>()
  #nextSlot = 0

  /** @param mounted what the machine has mounted since its start */
  constructor(mounted: readonly MountedVolume[] = []) {
    for (const one of mounted) this.add(one)
  }

  list(): readonly MountedVolume[] {
    return this.#mounted
  }

  /**
   * Returns a slot that has not been used for the longest time, because the kernel of a guest remembers the files of a
   * slot for a while.
   * @param taken slots that are being used already
   * @throws SandlotError invalid_request when all slots are taken
   */
  freeSlot(mount: VolumeMount, taken: ReadonlySet<number> = new Set()): number {
    for (let i = 0; i < SLOT_COUNT; i++) {
      const slot = (this.#nextSlot + i) % SLOT_COUNT
      if (this.#reserved.has(slot) || taken.has(slot) || this.#mounted.some((one) => one.slot === slot))
        continue
      // the kernel of the guest may have kept a file open for writing
      if (this.#lastUse[slot] === useOf({ ...mount, isReadOnly: !mount.isReadOnly })) continue
      return slot
    }
    throw new SandlotError(
      'invalid_request',
      `volume '${mount.name}' cannot be mounted at '${mount.path}': a sandbox has at most ${SLOT_COUNT} volumes`,
    )
  }

  add(mounted: MountedVolume): void {
    this.#mounted.push(mounted)
    this.#lastUse[mounted.slot] = useOf(mounted)
    this.#nextSlot = (mounted.slot + 1) % SLOT_COUNT
  }

  /** Keeps a slot from being used, as something else is mounted on it. */
  reserve(slot: number): void {
    this.#reserved.add(slot)
  }

  remove(slot: number): void {
    this.#mounted = this.#mounted.filter((one) => one.slot !== slot)
  }

  /** Compares what is mounted with what is wanted. @param isMissing volumes that cannot be bound, and stay as they are */
  plan(wanted: readonly VolumeMount[], isMissing: (mount: VolumeMount) => boolean = () => false): MountPlan {
    const isKept = (one: MountedVolume) =>
      wanted.some((other) => isSame(one, other)) && (one.isBound || isMissing(one))
    const unmount = this.#mounted.filter((one) => !isKept(one))
    const mount = wanted.filter(
      (one) => !isMissing(one) && !this.#mounted.some((other) => isKept(other) && isSame(one, other)),
    )
    // a volume below a path that changes would be hidden, or taken away too
    for (const one of this.#mounted) {
      const isHidden = [...unmount, ...mount].some(({ path }) => one.path.startsWith(`${path}/`))
      if (!isHidden || unmount.includes(one)) continue
      unmount.push(one)
      if (!isMissing(one)) mount.push(one)
    }
    return { unmount: unmount.sort(byPath).reverse(), mount: mount.sort(byPath) }
  }
}

export const isSame = (one: VolumeMount, other: VolumeMount): boolean =>
  one.volumeId === other.volumeId &&
  one.path === other.path &&
  Boolean(one.isReadOnly) === Boolean(other.isReadOnly)

/** Puts a path before the paths below it. */
const byPath = (one: VolumeMount, other: VolumeMount): number => one.path.length - other.path.length

const useOf = ({ volumeId, isReadOnly = false }: VolumeMount): string => `${volumeId} ${isReadOnly}`
