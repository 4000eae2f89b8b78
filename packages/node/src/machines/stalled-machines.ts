import type { LiveMachine } from './machine.ts'

export interface StalledMachinesOptions {
  thaw: (machine: LiveMachine) => Promise<void>
  /** Not asked for one that is being ended. */
  isAlive?: (machine: LiveMachine) => boolean
  /** Tells people that a machine goes on. */
  onGoing: (machine: LiveMachine) => void
  onError: (error: unknown) => void
}

/** Machines that stand still because the server wants it for a while, and not because their sandbox was paused. */
export class StalledMachines {
  readonly #options: StalledMachinesOptions
  readonly #stalled = new Set<LiveMachine>()
  /** Another caller freezes or ends them. */
  readonly #left = new Set<LiveMachine>()

  constructor(options: StalledMachinesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#stalled.size
  }

  add(machine: LiveMachine): void {
    this.#stalled.add(machine)
  }

  /** Whether another caller is freezing or ending it: it is not to be frozen here. */
  isLeft(machine: LiveMachine): boolean {
    return this.#left.has(machine)
  }

  /**
   * For the caller that freezes a machine for good: it is not set going any more; unless `work` fails.
   * @param looking what may be freezing or thawing it at this moment
   */
  async leave<T>(
    machine: LiveMachine,
    looking: Promise<void> | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    this.#left.add(machine)
    await looking?.catch(() => {})
    const isStalled = this.#stalled.delete(machine)
    try {
      return await work()
    } catch (error) {
      if (isStalled && machine.isFrozen) this.#stalled.add(machine)
      throw error
    } finally {
      this.#left.delete(machine)
    }
  }

  async setGoing(): Promise<void> {
    const { thaw, isAlive = () => true, onGoing, onError } = this.#options
    for (const machine of this.#stalled) {
      if (this.#left.has(machine)) continue
      this.#stalled.delete(machine)
      // a kernel that is set going without standing still panics
      if (machine.isEnding || !machine.isFrozen || !isAlive(machine)) continue
      await thaw(machine).then(() => onGoing(machine), onError)
    }
  }
}
