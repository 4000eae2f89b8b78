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
    const bucket = { tokens: this.#tokens(key, perSecond, burst), atMs: now }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!)
    if (bucket.tokens >= 1) {
      bucket.tokens--
      return 0
    }
    return waitFor(bucket.tokens, perSecond)
  }

  /** What `take` would answer; takes nothing. */
  waitSeconds(key: string, perSecond: number, burst: number): number {
    const tokens = this.#tokens(key, perSecond, burst)
    return tokens >= 1 ? 0 : waitFor(tokens, perSecond)
  }

  #tokens(key: string, perSecond: number, burst: number): number {
    const bucket = this.#buckets.get(key)
    if (!bucket) return burst
    return Math.min(burst, bucket.tokens + ((this.#now() - bucket.atMs) / 1000) * perSecond)
  }
}

const waitFor = (tokens: number, perSecond: number): number =>
  Math.max(1, Math.ceil((1 - tokens) / perSecond))
