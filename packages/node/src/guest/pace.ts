import { setTimeout as delay } from 'node:timers/promises'

/** Throttles a reader that would otherwise occupy the event loop. */
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

  /** @returns whether `wait` would wait, to spare callers a needless await */
  spend(units: number): boolean {
    this.#spent += units
    return this.#spent >= this.#budget
  }

  /** Resolves when the intervals for what was spent are over. */
  async wait(): Promise<void> {
    const allowedMs = this.#intervalMs * (this.#spent / this.#budget)
    const leftMs = allowedMs - (performance.now() - this.#sinceMs)
    if (leftMs > 0) await delay(leftMs)
    this.#spent = 0
    this.#sinceMs = performance.now()
  }
}
