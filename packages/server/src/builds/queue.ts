import { TEAM_LIMITS } from '../teams/limits.ts'

interface Waiting {
  teamId: string
  /**
   * The build gave its place away while it waited, and wants to continue. Its machine runs, so it precedes new builds.
   */
  isBack: boolean
  start: () => void
}

/** A build's turn in the queue. */
export interface BuildPlace {
  /**
   * Runs work that only waits, e.g. for a service in the machine to start, and gives the place to another build
   * meanwhile. When too many builds wait already, this one keeps its place.
   * @throws what `wait` throws, and the signal's reason while the build waits for its place
   */
  whileWaiting<T>(wait: () => Promise<T>): Promise<T>
}

/** How many builds for each place may wait beside the working ones; each of them keeps its machine. */
const ASIDE_PER_PLACE = 4

/**
 * Lets a few builds work at a time. The next build is taken from the team with the fewest working builds, and among
 * equals the one that has waited longest. So nobody waits for all builds of a team with a hundred of them.
 */
export class BuildQueue {
  readonly #concurrency: number
  readonly #running = new Map<string, number>()
  readonly #waiting: Waiting[] = []
  /** Teams of the builds that have given their place away, one entry for each build. */
  readonly #aside: string[] = []

  constructor(concurrency: number) {
    this.#concurrency = concurrency
  }

  /** Counts a team's builds, queued, working and waiting. */
  countOf(teamId: string): number {
    const isNew = (waiting: Waiting) => waiting.teamId === teamId && !waiting.isBack
    return (
      (this.#running.get(teamId) ?? 0) + this.#asideOf(teamId).length + this.#waiting.filter(isNew).length
    )
  }

  /** Runs `work` when its turn comes. @throws the signal's reason when it is aborted while waiting, and what `work` throws */
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
    return this.#aside.length < most && this.#asideOf(teamId).length < most * TEAM_LIMITS.waitingBuildsShare
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
