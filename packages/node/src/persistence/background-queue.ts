const MAX_WAITING = 10_000

/** Works on ids one after another; who adds one does not wait. */
export class BackgroundQueue {
  readonly #work: (id: string) => Promise<void>
  readonly #waiting: string[] = []
  #working: Promise<void> | undefined
  #isClosed = false

  /** @param work must not reject */
  constructor(work: (id: string) => Promise<void>) {
    this.#work = work
  }

  /** Does nothing when the line is closed or full: what is left is found at the next start. */
  add(id: string): void {
    if (this.#isClosed || this.#waiting.length >= MAX_WAITING) return
    this.#waiting.push(id)
    this.#working ??= this.#workOff().finally(() => {
      this.#working = undefined
    })
  }

  async #workOff(): Promise<void> {
    for (let id = this.#waiting.shift(); id !== undefined && !this.#isClosed; id = this.#waiting.shift())
      await this.#work(id)
  }

  /** Resolves when the one that is being worked on is done; the others are not begun. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#working
  }
}
