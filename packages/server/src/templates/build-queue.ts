interface Waiting {
  teamId: string
  start: () => void
}

/**
 * Lets a few builds run at a time. The next is of the team that has the fewest running, of several such the one
 * that waits longest: a team with a hundred builds does not make another wait for them all.
 */
export class BuildQueue {
  readonly #concurrency: number
  readonly #running = new Map<string, number>()
  readonly #waiting: Waiting[] = []

  constructor(concurrency: number) {
    this.#concurrency = concurrency
  }

  /** How many run or wait. */
  countOf(teamId: string): number {
    return (
      (this.#running.get(teamId) ?? 0) + this.#waiting.filter((waiting) => waiting.teamId === teamId).length
    )
  }

  /** @throws the signal's reason when it is aborted while it waits, and what `work` throws */
  async run<T>(teamId: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#turn(teamId, signal)
    try {
      return await work()
    } finally {
      const left = this.#running.get(teamId)! - 1
      if (left > 0) this.#running.set(teamId, left)
      else this.#running.delete(teamId)
      this.#next()
    }
  }

  #turn(teamId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        reject(signal.reason)
      }
      const waiting: Waiting = {
        teamId,
        start: () => {
          signal.removeEventListener('abort', onAbort)
          this.#running.set(teamId, (this.#running.get(teamId) ?? 0) + 1)
          resolve()
        },
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(waiting)
      this.#next()
    })
  }

  #next(): void {
    const running = [...this.#running.values()].reduce((sum, count) => sum + count, 0)
    if (running >= this.#concurrency || this.#waiting.length === 0) return
    const load = ({ teamId }: Waiting) => this.#running.get(teamId) ?? 0
    const next = this.#waiting.reduce((best, waiting) => (load(waiting) < load(best) ? waiting : best))
    this.#waiting.splice(this.#waiting.indexOf(next), 1)
    next.start()
  }
}
