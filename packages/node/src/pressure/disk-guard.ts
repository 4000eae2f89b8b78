import { SandlotError, toMB } from '@sandlot/protocol'
import type { LiveMachine } from '../machines/machine.ts'
import { StalledMachines } from '../machines/stalled-machines.ts'
import type { DiskSpace } from './disk-space.ts'

/** Largest share of the disk that the floor may be. */
const MAX_FLOOR_SHARE = 0.05
/** Machines are thawed at this multiple of the floor, so that they are not stalled again at once. */
const ENOUGH = 1.25
/** Machines that write less between two checks keep running until half of the floor is used up. */
const LITTLE_BYTES = 256 * 1024

export interface DiskGuardOptions {
  /** Bytes that sandboxes must leave free. */
  floorBytes: number
  space: () => DiskSpace
  /** Machines of sandboxes and builds that are not frozen. */
  running: () => Iterable<LiveMachine>
  usedBytes: (machine: LiveMachine) => Promise<number>
  isAlive: (machine: LiveMachine) => boolean
  stall: (machine: LiveMachine) => Promise<void>
  thaw: (machine: LiveMachine) => Promise<void>
  /** Frees disk space that is not needed until `isEnough` resolves with true. */
  makeRoom: (isEnough: () => Promise<boolean>) => Promise<unknown>
  onStalled: (machine: LiveMachine, reason: string | undefined) => void
  onError: (error: unknown) => void
}

/**
 * Keeps the disk from filling up. gVisor writes a sandbox's files through mapped memory, so a write to a full disk kills
 * the sandbox's kernel. Below the floor, data that is not needed is freed, nothing starts, and sandboxes that write are
 * stalled until there is room.
 */
export class DiskGuard {
  readonly #options: DiskGuardOptions
  readonly #stalled: StalledMachines
  /** Disk use of machines at the last check, while space is short. */
  #usedBytes = new Map<LiveMachine, number>()
  #looking: Promise<void> | undefined
  #makingRoom: Promise<unknown> | undefined
  #shortage: SandlotError | undefined

  constructor(options: DiskGuardOptions) {
    this.#options = options
    const { stall, thaw, isAlive, onStalled, onError } = options
    const onThawed = (machine: LiveMachine) => onStalled(machine, undefined)
    this.#stalled = new StalledMachines({ stall, thaw, isAlive, onThawed, onError })
  }

  /** @returns why nothing may be started now, undefined when there is room */
  shortage(): SandlotError | undefined {
    if (!this.#shortage) return undefined
    // the caller may have freed space since the last check
    const { freeBytes, floorBytes } = this.#measure()
    return freeBytes < floorBytes ? this.#shortage : undefined
  }

  /**
   * Takes over a frozen machine of a former server (stalled, or about to be saved), which is thawed when there is room.
   */
  adopt(machine: LiveMachine): void {
    this.#stalled.adopt(machine)
  }

  /** Checks the disk; called several times a second. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Releases a machine to a caller that freezes it permanently: it is not thawed here unless `work` fails. */
  release<T>(machine: LiveMachine, work: () => Promise<T>): Promise<T> {
    return this.#stalled.release(machine, this.#looking, work)
  }

  async #look(): Promise<void> {
    const { freeBytes, floorBytes } = this.#measure()
    if (freeBytes >= floorBytes) {
      this.#shortage = undefined
      this.#usedBytes.clear()
      if (this.#stalled.size > 0 && freeBytes >= floorBytes * ENOUGH) await this.#stalled.thawAll()
      return
    }
    const reason = `the disk of this machine has ${toMB(freeBytes)} MB left; the floor is ${toMB(floorBytes)} MB (setting 'diskFloorMB')`
    this.#shortage = new SandlotError('disk_full', `${reason}: kill sandboxes or delete snapshots`)
    const isEnough = async () => this.#options.space().freeBytes >= floorBytes * ENOUGH
    this.#makingRoom ??= this.#options
      .makeRoom(isEnough)
      .catch(this.#options.onError)
      .finally(() => {
        this.#makingRoom = undefined
      })
    await this.#stallWriters(freeBytes < floorBytes / 2 ? 1 : LITTLE_BYTES, reason)
  }

  #measure(): { freeBytes: number; floorBytes: number } {
    const space = this.#options.space()
    return { freeBytes: space.freeBytes, floorBytes: floorOf(space, this.#options.floorBytes) }
  }

  async #stallWriters(leastBytes: number, reason: string): Promise<void> {
    const { running, usedBytes, onStalled, onError } = this.#options
    const before = this.#usedBytes
    const now = new Map<LiveMachine, number>()
    await Promise.all(
      [...running()].map(async (machine) => {
        const bytes = await usedBytes(machine)
        now.set(machine, bytes)
        const isWriter = bytes - (before.get(machine) ?? bytes) >= leastBytes
        if (!isWriter || this.#stalled.isReleased(machine)) return
        await this.#stalled.stall(machine)
        onStalled(machine, reason)
      }),
    ).catch(onError)
    this.#usedBytes = now
  }
}

/** @returns bytes that callers other than sandboxes may write before sandboxes are stalled */
export const roomAbove = (space: DiskSpace, floorBytes: number): number =>
  space.freeBytes - bytesToLeave(space, floorBytes)

/** @returns bytes that callers other than sandboxes must leave free */
export const bytesToLeave = (space: DiskSpace, floorBytes: number): number =>
  Math.ceil(floorOf(space, floorBytes) * ENOUGH)

const floorOf = ({ sizeBytes }: DiskSpace, floorBytes: number): number =>
  Math.min(floorBytes, sizeBytes * MAX_FLOOR_SHARE)
