import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Who saved something often starts from it at once. */
const SETTLE_MS = 500
const MAX_WAIT_MS = 10_000

/** Lets those go first who wait for a start: both need the disk. */
export class StartPriority {
  readonly #events = new EventEmitter().setMaxListeners(0)
  #running = 0

  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#running++
    try {
      return await work()
    } finally {
      this.#running--
      if (this.#running === 0) this.#events.emit('lull')
    }
  }

  /** Half a second, then until nobody waits for a start, ten seconds at most. @throws AbortError by the signal */
  async wait(signal: AbortSignal): Promise<void> {
    await sleep(SETTLE_MS, undefined, { signal })
    if (this.#running === 0) return
    const ends = AbortSignal.any([signal, AbortSignal.timeout(MAX_WAIT_MS)])
    await once(this.#events, 'lull', { signal: ends }).catch(() => signal.throwIfAborted())
  }
}
