import type { LiveMachine } from '../machines/machine.ts'

export interface HotMachinesOptions {
  /** How long a frozen machine is kept; 0 keeps none longer than its checkpoint needs. */
  keepMs: number
  end: (machineId: string) => Promise<void>
  onError: (error: unknown) => void
  now?: () => number
}

/** A resume that comes at once is not slowed by what only a cold one needs. */
const FINISH_DELAY_MS = 1_000

/** What a checkpoint still wants of its machine. */
export interface Unfinished {
  /** Done a second later; the machine is kept until then. */
  finish: () => Promise<void>
  /** Done instead when the machine goes before that, or `finish` failed: the checkpoint stays as it is. */
  settleForLess: () => void
}

interface Hot {
  machine: LiveMachine
  sinceMs: number
  finishing: NodeJS.Timeout
  /** Once, however often it is called, unless it failed. */
  finish: () => Promise<void>
  /** Its checkpoint still needs it: the file system is being saved from it. */
  isNeeded: boolean
  /** It is not held any more. */
  leave: () => void
}

/**
 * Machines whose sandbox is paused and whose checkpoint is on disk, frozen in memory so that a resume soon after is a
 * thaw. Nothing is lost when one goes; the oldest go first, by age and when memory or slots run short.
 */
export class FrozenMachines {
  readonly #options: HotMachinesOptions
  readonly #now: () => number
  /** In order of their pauses. */
  readonly #hot = new Map<string, Hot>()

  constructor(options: HotMachinesOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  get size(): number {
    return this.#hot.size
  }

  has(machineId: string): boolean {
    return this.#hot.has(machineId)
  }

  hold(machine: LiveMachine, { finish, settleForLess }: Unfinished): void {
    const { keepMs, onError } = this.#options
    let finished: Promise<void> | undefined
    let isHeld = true
    const finishOnce = () => {
      finished ??= finish()
        .catch((error) => {
          finished = undefined
          if (!isHeld) settleForLess()
          throw error
        })
        .finally(() => {
          hot.isNeeded = false
        })
      return finished
    }
    const finishing = setTimeout(
      () =>
        finishOnce()
          .catch(onError)
          .finally(() => {
            if (keepMs === 0) this.tend()
          }),
      Math.min(FINISH_DELAY_MS, keepMs / 2),
    )
    const leave = () => {
      isHeld = false
      clearTimeout(finishing)
      if (!finished) settleForLess()
    }
    const sinceMs = this.#now()
    const hot: Hot = { machine, sinceMs, finishing, finish: finishOnce, isNeeded: true, leave }
    this.#hot.set(machine.machineId, hot)
  }

  /** Does at once what a checkpoint still needs of a machine, for who resumes it without the memory. */
  async finish(machineId: string): Promise<void> {
    await this.#hot.get(machineId)?.finish()
  }

  /** Gives a machine to whoever resumes it, or ends it. */
  take(machineId: string): LiveMachine | undefined {
    const hot = this.#hot.get(machineId)
    if (!hot) return undefined
    this.#hot.delete(machineId)
    hot.leave()
    return hot.machine
  }

  /** Ends what is too old; called now and then. */
  tend(): void {
    for (const [machineId, { sinceMs, isNeeded }] of this.#hot) {
      if (this.#now() - sinceMs < this.#options.keepMs) return
      if (!isNeeded) this.#drop(machineId)
    }
  }

  /** Ends the oldest that can go. @returns false: there is none */
  async dropOldest(): Promise<boolean> {
    for (const [machineId, { isNeeded }] of this.#hot) {
      if (isNeeded) continue
      await this.#drop(machineId)
      return true
    }
    return false
  }

  /** Their machines stay for the next start. */
  close(): void {
    for (const { finishing } of this.#hot.values()) clearTimeout(finishing)
  }

  #drop(machineId: string): Promise<void> {
    this.#hot.get(machineId)?.leave()
    this.#hot.delete(machineId)
    return this.#options.end(machineId).catch(this.#options.onError)
  }
}
