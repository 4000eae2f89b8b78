const MAX_WAITING = 10_000

/** Processes ids one after another in the background. */
export class BackgroundQueue {
  readonly #work: (id: string) => Promise<void>
  readonly #waiting: string[] = []
  #working: Promise<void> | undefined
  #isClosed = false

  /** @param work must not reject */
  constructor(work: (id: string) => Promise<void>) {
    this.#work = work
  }

  /** Does nothing when the queue is closed or full; the next start finds pending ids. */
  add(id: string): void {
    if (this.#isClosed || this.#waiting.length >= MAX_WAITING) return
    this.#waiting.push(id)
    this.#working ??= this.#drain().finally(() => {
      this.#working = undefined
    })
  }

  async #drain(): Promise<void> {
    for (let id = this.#waiting.shift(); id !== undefined && !this.#isClosed; id = this.#waiting.shift())
      await this.#work(id)
  }

  /** Resolves when the running work has ended; waiting ids are dropped. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#working
  }
}
