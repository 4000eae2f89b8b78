import { EventEmitter, once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'

/** Who has just created a sandbox, or run a command, mostly goes on. */
const SETTLE_MS = 500
/** A server that is never quiet does its own work all the same. */
const MAX_WAIT_MS = 60_000
/** Creates, resumes, connects, forks and snapshots, but no lists. */
const WORK_OF_API = /^\/(v\d+\/)?sandboxes\b/

/** Tells of a request to the API whether someone waits for a sandbox with it. */
export const isForSandboxes = ({ method, url = '' }: { method?: string; url?: string }): boolean =>
  method === 'POST' && WORK_OF_API.test(url)

/** What people have under way: creates at the API, commands and all else that the edge passes on. */
export class Traffic {
  readonly #events = new EventEmitter().setMaxListeners(0)
  #underWay = 0
  #quietSinceMs = Number.NEGATIVE_INFINITY

  /** @param ends emits `close` when it is over */
  add(ends: { once(event: 'close', listener: () => void): unknown }): void {
    this.#underWay++
    ends.once('close', () => {
      if (--this.#underWay > 0) return
      this.#quietSinceMs = performance.now()
      this.#events.emit('quiet')
    })
  }

  /** Half a second in which nothing is under way; after a minute without one all the same. @throws the signal's reason */
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
