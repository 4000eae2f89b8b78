import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Idle time to wait for, as a user that has just created a sandbox or run a command usually continues at once. */
const SETTLE_MS = 500
/** Time after which background work starts even on a server that is never idle. */
const MAX_WAIT_MS = 60_000
/** Routes of creates, resumes, connects, forks and snapshots, but not of lists. */
const WORK_OF_API = /^\/(v\d+\/)?sandboxes\b/

/** Whether the caller of an API request waits for a sandbox. */
export const isForSandboxes = ({ method, url = '' }: { method?: string; url?: string }): boolean =>
  method === 'POST' && WORK_OF_API.test(url)

/** Tracks pending requests of users: creates at the API, and commands and all other requests that the edge forwards. */
export class Traffic {
  readonly #events = new EventEmitter().setMaxListeners(0)
  #underWay = 0
  #quietSinceMs = Number.NEGATIVE_INFINITY

  /** @param ends emits `close` when the request has ended */
  add(ends: { once(event: 'close', listener: () => void): unknown }): void {
    this.#underWay++
    ends.once('close', () => {
      if (--this.#underWay > 0) return
      this.#quietSinceMs = performance.now()
      this.#events.emit('quiet')
    })
  }

  /** Waits for half a second without pending requests, at most for a minute. @throws the signal's reason */
  async quiet(signal: AbortSignal, maxWaitMs = MAX_WAIT_MS): Promise<void> {
    const ends = AbortSignal.any([signal, AbortSignal.timeout(maxWaitMs)])
    while (!ends.aborted) {
      const leftMs = SETTLE_MS - (performance.now() - this.#quietSinceMs)
      if (this.#underWay === 0 && leftMs <= 0) return
      const next =
        this.#underWay > 0
          ? once(this.#events, 'quiet', { signal: ends })
          : sleep(leftMs, undefined, { signal: ends })
      await next.catch(() => {})
    }
    signal.throwIfAborted()
  }
}
