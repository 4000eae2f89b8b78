const MAX_BUCKETS = 10_000

/** Requests a second by key, with a burst of one second's worth (at least one) unless said otherwise. */
export class TokenBuckets {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** @returns 0 when allowed, else the whole seconds to wait */
  take(key: string, perSecond: number, burst = Math.max(1, perSecond)): number {
    const now = this.#now()
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: now }
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.atMs) / 1000) * perSecond)
    bucket.atMs = now
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!)
    if (bucket.tokens >= 1) {
      bucket.tokens--
      return 0
    }
    return Math.max(1, Math.ceil((1 - bucket.tokens) / perSecond))
  }
}
