/** Where the building of a template of the catalogue stands. */
export type CatalogState =
  | { state: 'waiting' }
  | { state: 'building'; sinceMs: number; step?: string }
  | { state: 'failed'; reason: string }

/** The catalogue's templates that cannot be started from yet, and why. */
export class CatalogProgress {
  readonly #states = new Map<string, CatalogState>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  set(name: string, state: CatalogState): void {
    this.#states.set(name, state)
  }

  ready(name: string): void {
    this.#states.delete(name)
  }

  /** A sentence for who asks for the template; undefined: nothing is known of it. */
  describe(name: string): string | undefined {
    const state = this.#states.get(name)
    if (!state) return undefined
    const subject = `template '${name}' of the catalogue is not ready yet`
    if (state.state === 'failed') return `${subject}: its build failed: ${state.reason}`
    if (state.state === 'building') {
      const seconds = Math.round((this.#now() - state.sinceMs) / 1000)
      return `${subject}: it has been building for ${seconds} s${state.step ? `, now ${state.step}` : ''}; try again in a minute`
    }
    const building = [...this.#states].find(([, { state }]) => state === 'building')?.[0]
    return `${subject}: it is waiting for its turn${building ? `, '${building}' is being built` : ''}; try again in a few minutes`
  }
}
