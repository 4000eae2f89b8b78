interface Waiting {
  teamId: string
  /** Its machine is up: it only waited for others, and goes on before a new one begins. */
  isBack: boolean
  start: () => void
}

/** What a build has while it works. */
export interface BuildPlace {
  /**
   * Runs what only waits, e.g. for a service inside to come up: another build has the place meanwhile. Where too many do
   * so already, this one keeps its place.
   * @throws what `wait` throws, and the signal's reason while the place is taken
   */
  whileWaiting<T>(wait: () => Promise<T>): Promise<T>
}

/** Builds that wait beside those that work, for each place: each has a machine. A team has half of them at most. */
const ASIDE_PER_PLACE = 4

/**
 * Lets a few builds work at a time. The next is of the team that has the fewest working, of several such the one
 * that waits longest: a team with a hundred builds does not make another wait for them all.
 */
export class BuildQueue {
  readonly #concurrency: number
  readonly #running = new Map<string, number>()
  readonly #waiting: Waiting[] = []
  /** Teams of those that wait for something inside, one entry a build. */
  readonly #aside: string[] = []

  constructor(concurrency: number) {
    this.#concurrency = concurrency
  }

  /** How many there are of a team, in whatever state. */
  countOf(teamId: string): number {
    const isNew = (waiting: Waiting) => waiting.teamId === teamId && !waiting.isBack
    return (
      (this.#running.get(teamId) ?? 0) + this.#asideOf(teamId).length + this.#waiting.filter(isNew).length
    )
  }

  /** @throws the signal's reason when it is aborted while it waits, and what `work` throws */
  async run<T>(teamId: string, signal: AbortSignal, work: (place: BuildPlace) => Promise<T>): Promise<T> {
    await this.#turn(teamId, signal, false)
    let hasPlace = true
    const whileWaiting = async <R>(wait: () => Promise<R>): Promise<R> => {
      if (!hasPlace || !this.#mayStepAside(teamId)) return wait()
      this.#aside.push(teamId)
      hasPlace = false
      this.#leave(teamId)
      try {
        const result = await wait()
        await this.#turn(teamId, signal, true)
        hasPlace = true
        return result
      } finally {
        this.#aside.splice(this.#aside.indexOf(teamId), 1)
      }
    }
    try {
      return await work({ whileWaiting })
    } finally {
      if (hasPlace) this.#leave(teamId)
    }
  }

  #asideOf = (teamId: string): string[] => this.#aside.filter((other) => other === teamId)

  #mayStepAside(teamId: string): boolean {
    const most = this.#concurrency * ASIDE_PER_PLACE
    return this.#aside.length < most && this.#asideOf(teamId).length < most / 2
  }

  #leave(teamId: string): void {
    const left = this.#running.get(teamId)! - 1
    if (left > 0) this.#running.set(teamId, left)
    else this.#running.delete(teamId)
    this.#next()
  }

  #turn(teamId: string, signal: AbortSignal, isBack: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
        reject(signal.reason)
      }
      const waiting: Waiting = {
        teamId,
        isBack,
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
    const isBefore = (a: Waiting, b: Waiting) => (a.isBack === b.isBack ? load(a) < load(b) : a.isBack)
    const next = this.#waiting.reduce((best, waiting) => (isBefore(waiting, best) ? waiting : best))
    this.#waiting.splice(this.#waiting.indexOf(next), 1)
    next.start()
  }
}
