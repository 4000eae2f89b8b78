/** Collects work that a shutdown waits for before it closes the database. */
export class PendingWork {
  readonly #work = new Set<Promise<unknown>>()

  add<T>(work: Promise<T>): Promise<T> {
    this.#work.add(work)
    const done = () => void this.#work.delete(work)
    work.then(done, done)
    return work
  }

  /** Resolves when all work has ended, work that was added in the meantime included, or after `timeoutMs`. */
  async settle(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    let isLate = false
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        isLate = true
        resolve()
      }, timeoutMs)
    })
    while (this.#work.size > 0 && !isLate) await Promise.race([Promise.allSettled(this.#work), late])
    clearTimeout(timer)
  }
}
