const WINDOW_MS = 10_000
const REMEMBERED_WINDOWS = 30

export interface RecentDemandOptions {
  min: number
  max: number
  /** Peaks of at most this many are ignored. Default 0. */
  ignored?: number
  now?: () => number
}

/** Computes how many machines to keep warm: the peak of any 10 s in the last five minutes, within min and max. */
export class RecentDemand {
  readonly #min: number
  readonly #max: number
  readonly #ignored: number
  readonly #now: () => number
  readonly #counts = new Map<number, number>()

  constructor({ min, max, ignored = 0, now = Date.now }: RecentDemandOptions) {
    this.#min = min
    this.#max = max
    this.#ignored = ignored
    this.#now = now
  }

  record(): void {
    const window = this.#window()
    this.#counts.set(window, (this.#counts.get(window) ?? 0) + 1)
  }

  target(): number {
    const oldest = this.#window() - REMEMBERED_WINDOWS
    let peak = 0
    for (const [window, count] of this.#counts) {
      if (window < oldest) this.#counts.delete(window)
      else peak = Math.max(peak, count)
    }
    if (peak <= this.#ignored) peak = 0
    return Math.min(this.#max, Math.max(this.#min, peak))
  }

  #window(): number {
    return Math.floor(this.#now() / WINDOW_MS)
  }
}
