import type { LiveMachine } from './machines.ts'

export interface HotMachinesOptions {
  /** How long a frozen machine is kept; 0 keeps none longer than its checkpoint needs. */
  keepMs: number
  end: (machineId: string) => Promise<void>
  onError: (error: unknown) => void
  now?: () => number
}

/** A resume that comes at once is not slowed by what only a cold one needs. */
const FINISH_DELAY_MS = 1_000

interface Hot {
  machine: LiveMachine
  sinceMs: number
  finishing: NodeJS.Timeout
  /** Once, however often it is called, unless it failed. */
  finish: () => Promise<void>
  /** Its checkpoint still needs it: the file system is being saved from it. */
  isNeeded: boolean
}

/**
 * Machines whose sandbox is paused and whose checkpoint is on disk, frozen in memory so that a resume soon after is a
 * thaw. Nothing is lost when one goes; the oldest go first, by age and when memory or slots run short.
 */
export class HotMachines {
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

  /** @param finish what the checkpoint still needs of the machine; it is kept until that is done */
  hold(machine: LiveMachine, finish: () => Promise<void>): void {
    const { keepMs, onError } = this.#options
    let finished: Promise<void> | undefined
    const finishOnce = () => {
      finished ??= finish()
        .catch((error) => {
          finished = undefined
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
    const hot: Hot = { machine, sinceMs: this.#now(), finishing, finish: finishOnce, isNeeded: true }
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
    clearTimeout(hot.finishing)
    this.#hot.delete(machineId)
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
    this.#hot.delete(machineId)
    return this.#options.end(machineId).catch(this.#options.onError)
  }
}
