const MAX_DELAY_MS = 60_000

/** Retries work after 1, 2, 4 … at most 60 s, until the work succeeds or `close` is called. */
export class Retries {
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #onError: (error: unknown, what: string) => void
  #isClosed = false

  constructor(onError: (error: unknown, what: string) => void) {
    this.#onError = onError
  }

  /** @param what names the work in the log */
  later(what: string, work: () => Promise<void>, delayMs = 1_000): void {
    if (this.#isClosed) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      work().catch((error) => {
        this.#onError(error, what)
        this.later(what, work, Math.min(delayMs * 2, MAX_DELAY_MS))
      })
    }, delayMs)
    timer.unref()
    this.#timers.add(timer)
  }

  close(): void {
    this.#isClosed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }
}
