import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Wait after a save, which is often followed by a start from it. */
const SETTLE_MS = 500
const MAX_WAIT_MS = 10_000

/** Delays background disk work while a start is waiting. */
export class StartPriority {
  readonly #events = new EventEmitter().setMaxListeners(0)
  #running = 0

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      if (this.#running === 0) this.#events.emit('idle')
    }
  }

  /** Waits half a second, then until no start is waiting, at most ten seconds. @throws AbortError by the signal */
  async wait(signal: AbortSignal): Promise<void> {
    await sleep(SETTLE_MS, undefined, { signal })
    if (this.#running === 0) return
    const ends = AbortSignal.any([signal, AbortSignal.timeout(MAX_WAIT_MS)])
    await once(this.#events, 'idle', { signal: ends }).catch(() => signal.throwIfAborted())
  }
}
