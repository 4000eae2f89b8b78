import { Refusal } from './refusal.ts'

/** Runs async functions (bodies) in the order of arrival, a limited number at a time. */
export class Lane {
  readonly #limit: number
  readonly #waiting: (() => void)[] = []
  #free: number

  /**
   * @param limit how many may wait; more are refused with 429
   * @param width how many run at a time
   */
  constructor(limit: number, width = 1) {
    this.#limit = limit
    this.#free = width
  }

  /**
   * Waits for a free place, then runs `body`.
   * @param signal leaves the queue; a running body must check the signal itself
   */
  async run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    await this.#enter(signal)
    try {
      return await body()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free += 1
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    if (this.#waiting.length >= this.#limit) {
      throw new Refusal(429, `${this.#limit} requests wait for this already; wait for one to end`)
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const leave = () => {
      this.#waiting.splice(this.#waiting.indexOf(resolve), 1)
      reject(signal.reason)
    }
    this.#waiting.push(resolve)
    signal.addEventListener('abort', leave)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }
}
