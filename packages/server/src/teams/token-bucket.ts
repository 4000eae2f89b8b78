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

  /** Like `take`, and returns how much of the limit is left. */
  count(key: string, perSecond: number, burst = Math.max(1, perSecond)): RateState {
    const now = this.#now()
    const bucket = { tokens: this.#tokens(key, perSecond, burst), atMs: now }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > MAX_BUCKETS) this.#buckets.delete(this.#buckets.keys().next().value!)
    const waitSeconds = bucket.tokens >= 1 ? 0 : waitFor(bucket.tokens, perSecond)
    if (waitSeconds === 0) bucket.tokens--
    const { tokens } = bucket
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
