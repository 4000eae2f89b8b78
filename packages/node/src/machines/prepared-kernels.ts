import type { BuildResources } from '@sandlot/protocol/node'
import type { LiveMachine, MachineSource } from './machine.ts'

/** Kinds that one is kept of: those that were asked for last. */
const MAX_KINDS = 4
const KEEP_MS = 5 * 60_000
/** Others that are being restored get the processors first. */
const REFILL_DELAY_MS = 250

/** What a machine is made for; what is restored into it must have been the same. */
export type MachineKind = BuildResources & Pick<MachineSource, 'imagePath' | 'guestDir'>

export interface PreparedMachinesOptions {
  prepare: (kind: MachineKind) => Promise<LiveMachine>
  /** Of sources that do not say one. */
  guestDir: string
  isAlive: (machine: LiveMachine) => boolean
  end: (machineId: string) => Promise<void>
  /** None is made while it says something. */
  shortage: () => unknown
  onError: (error: unknown) => void
  now?: () => number
}

interface Kind {
  kind: MachineKind
  machine?: LiveMachine
  usedAtMs: number
}

/**
 * Machines whose kernel runs and holds nothing yet, so that a checkpoint only has to be read into one. One is kept of
 * each kind that someone lately waited for.
 */
export class PreparedKernels {
  readonly #options: PreparedMachinesOptions
  readonly #now: () => number
  /** By last use, the oldest first. */
  readonly #kinds = new Map<string, Kind>()
  #timer: NodeJS.Timeout | undefined
  #filling: Promise<void> | undefined
  #isClosed = false

  constructor(options: PreparedMachinesOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** @returns the caller's now; undefined: there is none yet, and there will be for the next who comes */
  take(source: MachineSource): LiveMachine | undefined {
    const kind = this.#kindOf(source)
    const key = JSON.stringify(kind)
    const machine = this.#kinds.get(key)?.machine
    this.#kinds.delete(key)
    this.#kinds.set(key, { kind, usedAtMs: this.#now() })
    for (const [other, { machine: unused }] of this.#kinds) {
      if (this.#kinds.size <= MAX_KINDS) break
      this.#kinds.delete(other)
      this.#discard(unused)
    }
    this.#fillSoon()
    if (machine && this.#options.isAlive(machine)) return machine
    this.#discard(machine)
    return undefined
  }

  /** Ends those of kinds that nobody asked for lately; called now and then. */
  tend(): void {
    for (const [key, { machine, usedAtMs }] of this.#kinds) {
      if (this.#now() - usedAtMs < KEEP_MS) return
      this.#kinds.delete(key)
      this.#discard(machine)
    }
  }

  /** Ends the one that was asked for the longest ago; no other takes its place before someone asks again. @returns false: there is none */
  async dropOldest(): Promise<boolean> {
    for (const [key, { machine }] of this.#kinds) {
      if (!machine) continue
      this.#kinds.delete(key)
      await this.#options.end(machine.machineId)
      return true
    }
    return false
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#filling
    while (await this.dropOldest());
  }

  #fillSoon(): void {
    clearTimeout(this.#timer)
    if (this.#isClosed) return
    this.#timer = setTimeout(() => {
      this.#filling ??= this.#fill().finally(() => {
        this.#filling = undefined
      })
    }, REFILL_DELAY_MS)
    this.#timer.unref()
  }

  async #fill(): Promise<void> {
    const { prepare, shortage, onError } = this.#options
    for (const [key, { kind, machine }] of [...this.#kinds].reverse()) {
      if (machine || this.#isClosed || shortage()) continue
      try {
        const made = await prepare(kind)
        const wanted = this.#kinds.get(key)
        if (wanted && !wanted.machine) wanted.machine = made
        else this.#discard(made)
      } catch (error) {
        return onError(error)
      }
    }
  }

  #discard(machine: LiveMachine | undefined): void {
    if (machine) this.#options.end(machine.machineId).catch(this.#options.onError)
  }

  #kindOf({ imagePath, guestDir, cpuCount, memoryMB, diskSizeMB }: MachineSource): MachineKind {
    return {
      ...{ imagePath, cpuCount, memoryMB, diskSizeMB },
      guestDir: guestDir ?? this.#options.guestDir,
    }
  }
}
