import { randomUUID } from 'node:crypto'
import { DAY_MS } from '@sandlot/protocol'

/** Longer than anything that is made under a temporary name takes. */
const LEFTOVER_AGE_MS = DAY_MS
const SEPARATOR = '~'

/** Names for unfinished entries of folders that several servers may share: a name tells which server made it, and in which run. */
export class TemporaryNames {
  readonly #server: string
  readonly #run: string

  /** @param server id of this server, which other servers on the folder do not have */
  constructor(server: string) {
    this.#server = `${server}${SEPARATOR}`
    this.#run = `${this.#server}${randomUUID().slice(0, 8)}${SEPARATOR}`
  }

  next(): string {
    return `${this.#run}${randomUUID()}`
  }

  /** For an entry that only waits to be removed: a leftover at once, so that a removal that was stopped is continued. */
  nextForRemoval(): string {
    return `${this.#server}removed${SEPARATOR}${randomUUID()}`
  }

  /** Whether a run of this server made the entry. */
  isOwn(name: string): boolean {
    return name.startsWith(this.#server)
  }

  /**
   * Whether nobody works on an entry any more: an earlier run of this server made it, or another server, whose runs are not
   * known here, has not changed it for a day.
   */
  isLeftover(name: string, ctimeMs: number): boolean {
    const isAbandoned = this.isOwn(name) && !name.startsWith(this.#run)
    return isAbandoned || Date.now() - ctimeMs > LEFTOVER_AGE_MS
  }
}
