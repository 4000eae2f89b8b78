import { SandlotError } from '@sandlot/protocol'

export interface FairGateOptions {
  /** Name of the work in messages, in the plural, e.g. `diffs`. */
  what: string
  /** Maximum of concurrent work. */
  total: number
  /** Maximum of running and waiting work of one owner. */
  perOwner: number
  /** Maximum of waiting work of all owners together. */
  maxWaiting: number
  maxWaitMs: number
}

/** Limits work that loads the whole machine. The queue is served in order of arrival, as no owner can fill it alone. */
export class FairGate {
  readonly #options: FairGateOptions
  /** Running and waiting work by owner. */
  readonly #byOwner = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor(options: FairGateOptions) {
    this.#options = options
  }

  /** @throws SandlotError rate_limited, sandbox_capacity_unavailable, the signal's reason, and what `work` throws */
  async run<T>(owner: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const { what, perOwner } = this.#options
    const own = this.#byOwner.get(owner) ?? 0
    if (own >= perOwner)
      throw new SandlotError(
        'rate_limited',
        `${own} ${what} of this team are running already, and at most ${perOwner} may run at a time; try again when one is done`,
        { retryAfterSeconds: 2 },
      )
    this.#byOwner.set(owner, own + 1)
    try {
      await this.#enter(signal)
      try {
        return await work()
      } finally {
        this.#leave()
      }
    } finally {
      const left = this.#byOwner.get(owner)! - 1
      if (left > 0) this.#byOwner.set(owner, left)
      else this.#byOwner.delete(owner)
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    const { total, maxWaiting } = this.#options
    signal?.throwIfAborted()
    if (this.#running < total) {
      this.#running++
      return
    }
    if (this.#waiting.size >= maxWaiting) throw this.#busy()
    await this.#turn(signal)
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        this.#waiting.delete(next)
        settle()
      }
      const next = () => end(resolve)
      const onAbort = () => end(() => reject(signal!.reason))
      const timer = setTimeout(() => end(() => reject(this.#busy())), this.#options.maxWaitMs)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(next)
    })
  }

  /** Gives the place to the caller that has waited longest. */
  #leave(): void {
    const [next] = this.#waiting
    if (next) next()
    else this.#running--
  }

  #busy(): SandlotError {
    const { what, total } = this.#options
    return new SandlotError(
      'sandbox_capacity_unavailable',
      `this machine is busy with ${what}: ${total} are running and ${this.#waiting.size} wait; try again soon`,
      { retryAfterSeconds: 5 },
    )
  }
}
