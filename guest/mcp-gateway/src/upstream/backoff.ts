const FIRST_MS = 500
const MAX_MS = 60_000
/** Failures in a row after which a server is not started again; the next `mcp-gateway --config` does. */
const MAX_FAILURES = 10
/** A server that ran this long had started well, so its next end is a first failure again. */
const HEALTHY_MS = 60_000

/** Says when to start a server again. Pure: the caller has the clock and the timer. */
export class Backoff {
  #failures = 0

  /**
   * Returns the milliseconds to wait before the next start, or undefined if there should be none.
   * @param ranMs how long the server had been ready; 0 if it never was
   */
  next(ranMs: number): number | undefined {
    if (ranMs >= HEALTHY_MS) this.#failures = 0
    if (++this.#failures > MAX_FAILURES) return undefined
    return Math.min(FIRST_MS * 2 ** (this.#failures - 1), MAX_MS)
  }
}
