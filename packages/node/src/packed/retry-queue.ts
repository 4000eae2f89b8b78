const FIRST_DELAY_MS = 1_000
const MAX_DELAY_MS = 60_000

export interface RetryQueueOptions {
  /** Must be idempotent and end soon after the signal is aborted. */
  work: (id: string, signal: AbortSignal) => Promise<void>
  /** Maximum number of running tasks. */
  concurrency: number
  /** Whether a retry cannot help: the id then stays failed until it is added again. */
  isFinal: (error: unknown) => boolean
  onError: (id: string, error: unknown) => void
  /** Delay before the first retry; doubles up to a minute, with half of it random. Default 1000 ms. */
  firstDelayMs?: number
}

export interface RetryState {
  attempts: number
  lastError?: unknown
  isRunning: boolean
  /** Whether no further attempt will be made. */
  isFailed: boolean
}

interface Entry extends RetryState {
  abort: AbortController
  timer?: NodeJS.Timeout
  running?: Promise<void>
  waiters: Array<() => void>
}

/**
 * Retries work for each id until it succeeds. The queue is only in memory; callers find pending ids on the disk after a
 * restart.
 */
export class RetryQueue {
  readonly #options: RetryQueueOptions
  readonly #entries = new Map<string, Entry>()
  readonly #ready: string[] = []
  #running = 0
  #isClosed = false

  constructor(options: RetryQueueOptions) {
    this.#options = options
  }

  /** Does nothing when the id is already waiting or running. */
  add(id: string): void {
    if (this.#isClosed) return
    const known = this.#entries.get(id)
    if (known && !known.isFailed) return
    this.#entries.set(id, {
      attempts: 0,
      isRunning: false,
      isFailed: false,
      abort: new AbortController(),
      waiters: known?.waiters ?? [],
    })
    this.#ready.push(id)
    this.#next()
  }

  state(id: string): RetryState | undefined {
    return this.#entries.get(id)
  }

  /** Removes the id; resolves when its work has ended. */
  async remove(id: string): Promise<void> {
    const entry = this.#entries.get(id)
    if (!entry) return
    entry.abort.abort()
    clearTimeout(entry.timer)
    await entry.running
    this.#settle(id, entry)
  }

  /** Resolves when the id is no longer in the queue, or has failed for good. */
  whenSettled(id: string): Promise<void> {
    const entry = this.#entries.get(id)
    if (!entry || entry.isFailed) return Promise.resolve()
    return new Promise((resolve) => entry.waiters.push(resolve))
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#entries.keys()].map((id) => this.remove(id)))
  }

  #next(): void {
    while (!this.#isClosed && this.#running < this.#options.concurrency) {
      const id = this.#ready.shift()
      if (id === undefined) return
      const entry = this.#entries.get(id)
      if (entry && !entry.isRunning && !entry.isFailed) entry.running = this.#run(id, entry)
    }
  }

  async #run(id: string, entry: Entry): Promise<void> {
    this.#running++
    entry.isRunning = true
    entry.attempts++
    try {
      await this.#options.work(id, entry.abort.signal)
      this.#settle(id, entry)
    } catch (error) {
      if (!entry.abort.signal.aborted) this.#failed(id, entry, error)
    } finally {
      entry.isRunning = false
      this.#running--
      this.#next()
    }
  }

  #failed(id: string, entry: Entry, error: unknown): void {
    entry.lastError = error
    this.#options.onError(id, error)
    if (this.#options.isFinal(error)) {
      entry.isFailed = true
      for (const resolve of entry.waiters.splice(0)) resolve()
      return
    }
    const { firstDelayMs = FIRST_DELAY_MS } = this.#options
    const delayMs = Math.min(MAX_DELAY_MS, firstDelayMs * 2 ** (entry.attempts - 1))
    entry.timer = setTimeout(
      () => {
        this.#ready.push(id)
        this.#next()
      },
      delayMs / 2 + (Math.random() * delayMs) / 2,
    ).unref()
  }

  #settle(id: string, entry: Entry): void {
    if (this.#entries.get(id) === entry) this.#entries.delete(id)
    for (const resolve of entry.waiters.splice(0)) resolve()
  }
}
