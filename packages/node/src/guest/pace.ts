import { setTimeout as delay } from 'node:timers/promises'

/** Holds a reader back that would otherwise keep the event loop to itself. */
export class Pace {
  readonly #budget: number
  readonly #intervalMs: number
  #spent = 0
  #sinceMs = performance.now()

  /** Allows `budget` units of whatever the caller counts in every `intervalMs`. */
  constructor(budget: number, intervalMs: number) {
    this.#budget = budget
    this.#intervalMs = intervalMs
  }

  /** Whether `wait` would wait: spares callers the turn of a promise. */
  spend(units: number): boolean {
    this.#spent += units
    return this.#spent >= this.#budget
  }

  /** Resolves when the intervals that so much may be spent in are over. */
  async wait(): Promise<void> {
    const allowedMs = this.#intervalMs * (this.#spent / this.#budget)
    const leftMs = allowedMs - (performance.now() - this.#sinceMs)
    if (leftMs > 0) await delay(leftMs)
    this.#spent = 0
    this.#sinceMs = performance.now()
  }
}
