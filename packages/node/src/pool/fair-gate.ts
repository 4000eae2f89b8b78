import { SandlotError } from '@sandlot/protocol'
import { FairQueue } from './fair-queue.ts'

export interface FairGateOptions {
  /** Name of the work in messages, in the plural, e.g. `diffs`. */
  what: string
  /** Maximum of concurrent work. */
  total: number
  /** Maximum of waiting work of all owners together. */
  maxWaiting: number
  maxWaitMs: number
}

/** Limits work that loads the whole machine, for all owners together. In the queue, owners take turns. */
export class FairGate {
  readonly #options: FairGateOptions
  readonly #waiting = new FairQueue<() => void>()
  #running = 0

  constructor(options: FairGateOptions) {
    this.#options = options
  }

  /** @throws SandlotError sandbox_capacity_unavailable, the signal's reason, and what `work` throws */
  async run<T>(owner: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.#enter(owner, signal)
    try {
      return await work()
    } finally {
      this.#leave()
    }
  }

  async #enter(owner: string, signal: AbortSignal | undefined): Promise<void> {
    const { total, maxWaiting } = this.#options
    signal?.throwIfAborted()
    if (this.#running < total) {
      this.#running++
      return
    }
    if (this.#waiting.size >= maxWaiting) throw this.#busy()
    await this.#turn(owner, signal)
  }

  #turn(owner: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        this.#waiting.remove(owner, next)
        settle()
      }
      const next = () => end(resolve)
      const onAbort = () => end(() => reject(signal!.reason))
      const timer = setTimeout(() => end(() => reject(this.#busy())), this.#options.maxWaitMs)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.add(owner, next)
    })
  }

  /** Gives the place to the caller whose turn is next. */
  #leave(): void {
    const next = this.#waiting.take(() => true)
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
