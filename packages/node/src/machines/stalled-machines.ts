import type { LiveMachine } from './machine.ts'

export interface StalledMachinesOptions {
  stall: (machine: LiveMachine) => Promise<void>
  thaw: (machine: LiveMachine) => Promise<void>
  isAlive?: (machine: LiveMachine) => boolean
  /** Called after a machine was thawed. */
  onThawed: (machine: LiveMachine) => void
  onError: (error: unknown) => void
}

/** Machines that a guard has frozen temporarily, as opposed to machines of paused sandboxes. */
export class StalledMachines {
  readonly #options: StalledMachinesOptions
  readonly #stalled = new Set<LiveMachine>()
  /** Machines that another caller is freezing. */
  readonly #released = new Set<LiveMachine>()

  constructor(options: StalledMachinesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#stalled.size
  }

  /** Whether another caller is freezing the machine: the guard must leave it alone. */
  isReleased(machine: LiveMachine): boolean {
    return this.#released.has(machine)
  }

  /** Freezes a machine until `thawAll`. */
  async stall(machine: LiveMachine): Promise<void> {
    await this.#options.stall(machine)
    if (machine.state.isStalled) this.#stalled.add(machine)
  }

  /** Takes responsibility for a machine that is already frozen. */
  adopt(machine: LiveMachine): void {
    if (!machine.state.isStalled) machine.state.change('stalled')
    this.#stalled.add(machine)
  }

  /**
   * Releases a machine to a caller that freezes it permanently: it is not thawed here unless `work` fails.
   * @param looking a run of the guard that may be freezing or thawing the machine at this moment
   */
  async release<T>(
    machine: LiveMachine,
    looking: Promise<void> | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    this.#released.add(machine)
    await looking?.catch(() => {})
    const wasStalled = this.#stalled.delete(machine)
    try {
      return await work()
    } catch (error) {
      if (wasStalled && machine.state.isStalled) this.#stalled.add(machine)
      else if (wasStalled && machine.isFrozen) this.adopt(machine)
      throw error
    } finally {
      this.#released.delete(machine)
    }
  }

  async thawAll(): Promise<void> {
    const { thaw, isAlive = () => true, onThawed, onError } = this.#options
    for (const machine of this.#stalled) {
      if (this.#released.has(machine)) continue
      this.#stalled.delete(machine)
      if (!machine.state.isStalled || !isAlive(machine)) continue
      await thaw(machine).then(() => onThawed(machine), onError)
    }
  }
}
