import { SandlotError } from '@sandlot/protocol'
import type { LiveMachine } from '../machines/machine.ts'
import { StalledMachines } from '../machines/stalled-machines.ts'
import type { DiskSpace } from './disk-space.ts'

/** A twentieth of a small disk is enough. */
const MAX_FLOOR_SHARE = 0.05
/** Where there is room again, it is not used up at once. */
const ENOUGH = 1.25
/** Who writes less between two looks goes on, until half of the floor is used up. */
const LITTLE_BYTES = 256 * 1024

export interface DiskGuardOptions {
  /** Bytes that sandboxes leave free. */
  floorBytes: number
  space: () => DiskSpace
  /** Machines of sandboxes and builds, but for those that stand still. */
  running: () => Iterable<LiveMachine>
  usedBytes: (machine: LiveMachine) => Promise<number>
  isAlive: (machine: LiveMachine) => boolean
  freeze: (machine: LiveMachine) => Promise<void>
  thaw: (machine: LiveMachine) => Promise<void>
  /** Frees what is not needed until it is enough. */
  makeRoom: (isEnough: () => Promise<boolean>) => Promise<unknown>
  onStalled: (machine: LiveMachine, reason: string | undefined) => void
  onError: (error: unknown) => void
}

/**
 * gVisor writes a sandbox's files through mapped memory, so a write that finds the disk full ends its kernel. Before
 * that what is not needed is given up, nothing new starts, and the sandboxes that write stand still until there is room.
 */
export class DiskGuard {
  readonly #options: DiskGuardOptions
  readonly #stalled: StalledMachines
  /** Bytes on disk at the last look, while space is short. */
  #usedBytes = new Map<LiveMachine, number>()
  #looking: Promise<void> | undefined
  #makingRoom: Promise<unknown> | undefined
  #shortage: SandlotError | undefined

  constructor(options: DiskGuardOptions) {
    this.#options = options
    const { thaw, isAlive, onStalled, onError } = options
    this.#stalled = new StalledMachines({
      ...{ thaw, isAlive, onError },
      onGoing: (machine) => onStalled(machine, undefined),
    })
  }

  /** @returns why nothing may be started now; undefined: there is room */
  shortage(): SandlotError | undefined {
    if (!this.#shortage) return undefined
    // whoever asks may have made room since the last look
    const { freeBytes, floorBytes } = this.#measure()
    return freeBytes < floorBytes ? this.#shortage : undefined
  }

  /** Of a former server: one that stood still, or that was about to be saved. It goes on when there is room. */
  adopt(machine: LiveMachine): void {
    this.#stalled.add(machine)
  }

  /** Called several times a second. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** For the caller that freezes a machine for good: it is not set going any more; unless `work` fails. */
  leave<T>(machine: LiveMachine, work: () => Promise<T>): Promise<T> {
    return this.#stalled.leave(machine, this.#looking, work)
  }

  async #look(): Promise<void> {
    const { freeBytes, floorBytes } = this.#measure()
    if (freeBytes >= floorBytes) {
      this.#shortage = undefined
      this.#usedBytes.clear()
      if (this.#stalled.size > 0 && freeBytes >= floorBytes * ENOUGH) await this.#stalled.setGoing()
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
    const { running, usedBytes, freeze, onStalled, onError } = this.#options
    const before = this.#usedBytes
    const now = new Map<LiveMachine, number>()
    await Promise.all(
      [...running()].map(async (machine) => {
        const bytes = await usedBytes(machine)
        now.set(machine, bytes)
        const isWriter = bytes - (before.get(machine) ?? bytes) >= leastBytes
        if (!isWriter || this.#stalled.isLeft(machine)) return
        await freeze(machine)
        this.#stalled.add(machine)
        onStalled(machine, reason)
      }),
    ).catch(onError)
    this.#usedBytes = now
  }
}

/** What others than sandboxes may write to a disk before sandboxes stand still for it. */
export const roomAbove = (space: DiskSpace, floorBytes: number): number =>
  space.freeBytes - bytesToLeave(space, floorBytes)

/** What others than sandboxes leave of a disk. */
export const bytesToLeave = (space: DiskSpace, floorBytes: number): number =>
  Math.ceil(floorOf(space, floorBytes) * ENOUGH)

const floorOf = ({ sizeBytes }: DiskSpace, floorBytes: number): number =>
  Math.min(floorBytes, sizeBytes * MAX_FLOOR_SHARE)

const toMB = (bytes: number): number => Math.floor(bytes / 2 ** 20)
