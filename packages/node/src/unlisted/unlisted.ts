import type { UnlistedMark, UnlistedMarks } from './marks.ts'

/** Time after a start during which nothing is deleted, so that an administrator can read the warnings. */
const SETTLING_MS = 3600_000

/** Metadata of an unlisted thing. */
export interface UnlistedThing {
  sizeBytes?: number
  /** Unix milliseconds. */
  createdAtMs?: number
}

export interface UnlistedOptions {
  marks: UnlistedMarks
  /** How long a thing must stay unlisted by one database before it is deleted. */
  graceMs: number
  describe: (id: string) => Promise<UnlistedThing>
  /** Deletes the thing permanently. */
  remove: (id: string) => Promise<void>
  onFound: (marks: readonly UnlistedMark[]) => void
  onRemoved: (mark: UnlistedMark) => void
  onError: (error: unknown) => void
  now?: () => number
  /** Monotonic clock. */
  uptimeMs?: () => number
}

/**
 * Things of one kind that are on the disk but not in the database, e.g. because the database is empty, restored from a
 * backup, or of another home. A start only marks them; they are deleted after the grace period, and only while the
 * database is the one that did not list them.
 */
export class Unlisted {
  readonly #options: UnlistedOptions
  readonly #now: () => number
  readonly #uptimeMs: () => number
  readonly #unlisted = new Set<string>()
  #instanceId: string | undefined
  #foundAtMs = 0

  constructor(options: UnlistedOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#uptimeMs = options.uptimeMs ?? (() => performance.now())
  }

  /**
   * Called by a join: marks things that the database does not list, and removes marks of things that it lists again.
   * @param present ids of all things on the disk
   */
  async find(
    present: Iterable<string>,
    isListed: (id: string) => boolean,
    instanceId: string,
  ): Promise<void> {
    const { marks, onFound, onError } = this.#options
    // a repeated join by the same database is not a new start
    if (instanceId !== this.#instanceId) this.#foundAtMs = this.#uptimeMs()
    this.#instanceId = instanceId
    this.#unlisted.clear()
    await marks.prepare()
    for (const id of present) if (!isListed(id)) this.#unlisted.add(id)
    for (const id of await marks.ids()) if (!this.#unlisted.has(id)) await marks.remove(id)
    const found: UnlistedMark[] = []
    // a thing that cannot be marked now, e.g. on a full disk, is not deleted either
    for (const id of this.#unlisted) await this.#mark(id).then((mark) => found.push(mark), onError)
    if (found.length > 0) onFound(found)
  }

  has(id: string): boolean {
    return this.#unlisted.has(id)
  }

  /** Number of unlisted things. */
  get size(): number {
    return this.#unlisted.size
  }

  /** Removes the mark of a thing that is deleted on purpose. */
  async forget(id: string): Promise<void> {
    if (this.#unlisted.delete(id)) await this.#options.marks.remove(id)
  }

  /**
   * Deletes things that have been unlisted for the grace period. @param isAsked whether a user has requested this, which
   * skips the first hour after a start
   */
  async collect({ isAsked }: { isAsked: boolean }): Promise<void> {
    const { graceMs, marks, remove, onRemoved, onError } = this.#options
    if (!isAsked && this.#uptimeMs() - this.#foundAtMs < SETTLING_MS) return
    for (const id of this.#unlisted)
      try {
        const mark = await this.#mark(id)
        if (this.#now() - mark.sinceMs < graceMs) continue
        await remove(id)
        await marks.remove(id)
        this.#unlisted.delete(id)
        onRemoved(mark)
      } catch (error) {
        onError(error)
      }
  }

  /** Finds or writes the mark of this database. A damaged, foreign or impossible mark is replaced, which restarts its time. */
  async #mark(id: string): Promise<UnlistedMark> {
    const { marks, describe } = this.#options
    const nowMs = this.#now()
    const known = await marks.find(id)
    const { sizeBytes, createdAtMs = 0 } = await describe(id)
    const isPossible = known && known.sinceMs >= createdAtMs && known.sinceMs <= nowMs
    if (isPossible && known.instanceId === this.#instanceId) return known
    const mark = { id, sinceMs: nowMs, instanceId: this.#instanceId!, sizeBytes }
    await marks.put(mark)
    return mark
  }
}
