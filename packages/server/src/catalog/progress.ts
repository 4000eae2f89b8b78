/** State of a template of the catalog. */
export type CatalogState =
  | { state: 'waiting' }
  | { state: 'building'; sinceMs: number; step?: string }
  | { state: 'ready' }
  | { state: 'failed'; reason: string }
  /** Not built, because the machine has no room for it. */
  | { state: 'left-out'; reason: string }
  | { state: 'removed' }

/** Time and disk that a build takes, as measured in earlier builds. */
export interface CatalogEstimate {
  seconds: number
  /** Disk space that the build uses up. */
  megabytes: number
}

export type CatalogEntry = CatalogState & { name: string; estimate?: CatalogEstimate }

/** All templates of the catalog that this server knows, and the remaining work. */
export interface CatalogReport {
  templates: CatalogEntry[]
  readyCount: number
  /** Remaining work: the sum over waiting and running builds. */
  left: CatalogEstimate
}

/** Command that builds a template that is missing. */
const buildCommand = (name: string): string => `\`sandlot templates build ${name}\``

/** Which templates of the catalog can be started, which cannot, and why. */
export class CatalogProgress {
  readonly #entries = new Map<string, CatalogEntry>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  /** @param estimate default: the one set before */
  set(name: string, state: CatalogState, estimate = this.#entries.get(name)?.estimate): void {
    this.#entries.set(name, { ...state, name, estimate })
  }

  ready(name: string): void {
    this.set(name, { state: 'ready' })
  }

  /**
   * Explains to a caller why a template cannot be started; undefined: the template can be started, or is not in the
   * catalog.
   */
  describe(name: string): string | undefined {
    const entry = this.#entries.get(name)
    if (!entry || entry.state === 'ready') return undefined
    const template = `template '${name}' of the catalog`
    if (entry.state === 'removed')
      return `${template} was removed from this server; its administrator can build it: ${buildCommand(name)}`
    if (entry.state === 'left-out')
      return `${template} was left out: ${entry.reason}; its administrator can build it nevertheless: ${buildCommand(name)}`
    const subject = `${template} is not ready yet`
    if (entry.state === 'failed') return `${subject}: its build failed: ${entry.reason}`
    if (entry.state === 'building') {
      const seconds = Math.round((this.#now() - entry.sinceMs) / 1000)
      return `${subject}: it has been building for ${seconds} s${entry.step ? `, now ${entry.step}` : ''}; try again in a minute`
    }
    const building = [...this.#entries.values()].find(({ state }) => state === 'building')?.name
    return `${subject}: it is waiting for its turn${building ? `, '${building}' is being built` : ''}; try again in a few minutes`
  }

  report(): CatalogReport {
    const templates = [...this.#entries.values()]
    const left = { seconds: 0, megabytes: 0 }
    for (const entry of templates) {
      if (entry.state !== 'waiting' && entry.state !== 'building') continue
      const spentSeconds = entry.state === 'building' ? (this.#now() - entry.sinceMs) / 1000 : 0
      left.seconds += Math.max(0, (entry.estimate?.seconds ?? 0) - spentSeconds)
      left.megabytes += entry.estimate?.megabytes ?? 0
    }
    const readyCount = templates.filter(({ state }) => state === 'ready').length
    return { templates, readyCount, left: { ...left, seconds: Math.round(left.seconds) } }
  }
}
