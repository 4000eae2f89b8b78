import type { BuildResources } from '@sandlot/protocol/node'
import type { LiveMachine, MachineSource } from './machine.ts'

/** Number of kinds with a prepared kernel: the most recently requested ones. */
const MAX_KINDS = 4
const KEEP_MS = 5 * 60_000
/** Delay before a refill, so that running restores can use the processors first. */
const REFILL_DELAY_MS = 250

/** Properties of a prepared machine; a checkpoint must match them to be restored into it. */
export type MachineKind = BuildResources & Pick<MachineSource, 'imagePath' | 'guestDir'>

export interface PreparedKernelsOptions {
  prepare: (kind: MachineKind) => Promise<LiveMachine>
  /** Folder with envd, for sources that name none. */
  guestDir: string
  isAlive: (machine: LiveMachine) => boolean
  end: (machineId: string) => Promise<void>
  /** Nothing is prepared while this returns a reason. */
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
 * Machines with an empty running kernel, so that a restore only has to read a checkpoint into the kernel. One is kept for
 * each kind that a caller has recently waited for.
 */
export class PreparedKernels {
  readonly #options: PreparedKernelsOptions
  readonly #now: () => number
  /** In order of last use, the oldest first. */
  readonly #kinds = new Map<string, Kind>()
  #timer: NodeJS.Timeout | undefined
  #filling: Promise<void> | undefined
  #isClosed = false

  constructor(options: PreparedKernelsOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /**
   * @returns a machine that now belongs to the caller; undefined when none is ready; in both cases one is prepared for
   * the next caller
   */
  claim(source: MachineSource): LiveMachine | undefined {
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

  /** Ends machines of kinds that were not requested recently; called periodically. */
  dropStale(): void {
    for (const [key, { machine, usedAtMs }] of this.#kinds) {
      if (this.#now() - usedAtMs < KEEP_MS) return
      this.#kinds.delete(key)
      this.#discard(machine)
    }
  }

  /**
   * Ends the machine of the least recently requested kind; the next request of that kind prepares another. @returns false
   * when there is no machine
   */
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
    return { imagePath, cpuCount, memoryMB, diskSizeMB, guestDir: guestDir ?? this.#options.guestDir }
  }
}
