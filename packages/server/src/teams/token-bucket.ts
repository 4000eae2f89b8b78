const MAX_BUCKETS = 10_000

/** State of a rate limit after a request was counted. */
export interface RateState {
  /** Requests in one burst. */
  limit: number
  remaining: number
  /** Whole seconds until the full burst is available again. */
  resetSeconds: number
  /** 0: the request is allowed. */
  waitSeconds: number
}

/** Rate limits in requests a second, one for each key. Default burst: the requests of one second, at least one. */
export class TokenBuckets {
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  /** Counts a request. @returns 0 when the request is allowed, otherwise the whole seconds to wait */
  take(key: string, perSecond: number, burst?: number): number {
    return this.count(key, perSecond, burst).waitSeconds
  }

  /**
   * Takes `count` at once, or none. A full bucket allows more than the burst, and then stays empty until the excess is
   * paid back.
   * @returns 0 when allowed, else the whole seconds to wait
   */
  takeMany(key: string, perSecond: number, count: number): number {
    const burst = Math.max(1, perSecond)
    const tokens = this.#tokens(key, perSecond, burst)
    const needed = Math.min(count, burst)
    const isAllowed = tokens >= needed
    this.#keep(key, isAllowed ? tokens - count : tokens)
    return isAllowed ? 0 : waitFor(needed - tokens, perSecond)
  }

  /** Like `take`, and returns how much of the limit is left. */
  count(key: string, perSecond: number, burst = Math.max(1, perSecond)): RateState {
    const before = this.#tokens(key, perSecond, burst)
    const isAllowed = before >= 1
    const tokens = isAllowed ? before - 1 : before
    this.#keep(key, tokens)
    const waitSeconds = isAllowed ? 0 : waitFor(1 - before, perSecond)
    return {
      limit: Math.floor(burst),
      remaining: Math.floor(tokens),
      resetSeconds: Math.ceil((burst - tokens) / perSecond),
      waitSeconds,
    }
  }

  /** Returns what `take` would, without counting a request. */
  waitSeconds(key: string, perSecond: number, burst: number): number {
    const tokens = this.#tokens(key, perSecond, burst)
    return tokens >= 1 ? 0 : waitFor(1 - tokens, perSecond)
  }

  /** Forgets the least recently used bucket when there are too many. */
  #keep(key: string, tokens: number): void {
    this.#buckets.delete(key)
    this.#buckets.set(key, { tokens, atMs: this.#now() })
    if (this.#buckets.size > MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!)
  }

  #tokens(key: string, perSecond: number, burst: number): number {
    const bucket = this.#buckets.get(key)
    if (!bucket) return burst
    return Math.min(burst, bucket.tokens + ((this.#now() - bucket.atMs) / 1000) * perSecond)
  }
}

const waitFor = (missing: number, perSecond: number): number => Math.max(1, Math.ceil(missing / perSecond))
