import { setTimeout as delay } from 'node:timers/promises'

/** Throttles a reader, so that it cannot occupy the event loop. */
export class Pace {
  readonly #budget: number
  readonly #intervalMs: number
  #spent = 0
  #sinceMs = performance.now()

  /** Allows `budget` units, which callers define, in every `intervalMs`. */
  constructor(budget: number, intervalMs: number) {
    this.#budget = budget
    this.#intervalMs = intervalMs
  }

  /** @returns whether `wait` would wait, so that callers can skip the await otherwise */
  spend(units: number): boolean {
    this.#spent += units
    return this.#spent >= this.#budget
  }

  /** Resolves when enough intervals for the spent units have passed. */
  async wait(): Promise<void> {
    const allowedMs = this.#intervalMs * (this.#spent / this.#budget)
    const leftMs = allowedMs - (performance.now() - this.#sinceMs)
    if (leftMs > 0) await delay(leftMs)
    this.#spent = 0
    this.#sinceMs = performance.now()
  }
}
