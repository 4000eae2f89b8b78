import { SandlotError } from '@sandlot/protocol'

export interface FairGateOptions {
  /** Said to people, in the plural, e.g. `diffs`. */
  what: string
  /** At work at a time. */
  total: number
  /** At work or waiting at a time, of each owner. */
  perOwner: number
  /** Waiting at a time, of all owners. */
  maxWaiting: number
  maxWaitMs: number
}

/**
 * Bounds work that loads the whole machine. Nobody can fill the queue alone, so it is served in the order of arrival.
 */
export class FairGate {
  readonly #options: FairGateOptions
  readonly #ofOwner = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  #running = 0

  constructor(options: FairGateOptions) {
    this.#options = options
  }

  /** @throws SandlotError rate_limited, sandbox_capacity_unavailable, the signal's reason, and what `work` throws */
  async run<T>(owner: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const { what, perOwner } = this.#options
    const own = this.#ofOwner.get(owner) ?? 0
    if (own >= perOwner)
      throw new SandlotError(
        'rate_limited',
        `${own} ${what} of this team are at work already, and no more than ${perOwner} are at a time; try again when one is done`,
        { retryAfterSeconds: 2 },
      )
    this.#ofOwner.set(owner, own + 1)
    try {
      await this.#enter(signal)
      try {
        return await work()
      } finally {
        this.#leave()
      }
    } finally {
      const left = this.#ofOwner.get(owner)! - 1
      if (left > 0) this.#ofOwner.set(owner, left)
      else this.#ofOwner.delete(owner)
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

  /** Gives the place to the one who waits longest. */
  #leave(): void {
    const [next] = this.#waiting
    if (next) next()
    else this.#running--
  }

  #busy(): SandlotError {
    const { what, total } = this.#options
    return new SandlotError(
      'sandbox_capacity_unavailable',
      `this machine is busy with ${what}: ${total} are at work and ${this.#waiting.size} wait; try again soon`,
      { retryAfterSeconds: 5 },
    )
  }
}
