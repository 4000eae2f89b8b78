/** Lets so many events of each owner pass a second, and a burst of several seconds' worth after a quiet time. */
export class RateLimiter<Owner extends WeakKey> {
  readonly #perSecond: number
  readonly #burst: number
  readonly #buckets = new WeakMap<Owner, { tokens: number; filledAtMs: number; toldAtMs: number }>()

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
  }

  /**
   * Counts an event.
   * @returns whether it may pass; `isToldNow` is true for the first refusal of an owner within a second, so that not every
   *   event of a flood is recorded
   */
  take(owner: Owner, nowMs = performance.now()): { mayPass: true } | { mayPass: false; isToldNow: boolean } {
    let bucket = this.#buckets.get(owner)
    if (!bucket) {
      bucket = { tokens: this.#burst, filledAtMs: nowMs, toldAtMs: Number.NEGATIVE_INFINITY }
      this.#buckets.set(owner, bucket)
    }
    const filled = bucket.tokens + ((nowMs - bucket.filledAtMs) / 1_000) * this.#perSecond
    bucket.tokens = Math.min(this.#burst, filled)
    bucket.filledAtMs = nowMs
    if (bucket.tokens >= 1) {
      bucket.tokens--
      return { mayPass: true }
    }
    const isToldNow = nowMs - bucket.toldAtMs >= 1_000
    if (isToldNow) bucket.toldAtMs = nowMs
    return { mayPass: false, isToldNow }
  }
}
