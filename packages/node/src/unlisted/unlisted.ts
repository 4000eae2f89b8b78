import type { UnlistedMark, UnlistedMarks } from './marks.ts'

/** A server that has just started deletes nothing: people get this long to see what it says. */
const SETTLING_MS = 3600_000

/** What is known of a thing that is not listed. */
export interface UnlistedThing {
  sizeBytes?: number
  /** Unix milliseconds. */
  createdAtMs?: number
}

export interface UnlistedOptions {
  marks: UnlistedMarks
  /** How long the database that did not list a thing must go on not listing it. */
  graceMs: number
  describe: (id: string) => Promise<UnlistedThing>
  /** Deletes it for good. */
  remove: (id: string) => Promise<void>
  onFound: (marks: readonly UnlistedMark[]) => void
  onRemoved: (mark: UnlistedMark) => void
  onError: (error: unknown) => void
  now?: () => number
  /** Milliseconds that only ever grow. */
  uptimeMs?: () => number
}

/**
 * Things of one kind that are on the disk and not in the database: an empty, an older or a foreign database lists
 * nothing of what people have here. A start only marks them; they are deleted after the grace period, by the database
 * that did not list them, and by no other.
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
   * Called by a start: marks what the database does not list, and takes the marks off what it lists again.
   * @param present all that there are
   */
  async find(
    present: Iterable<string>,
    isListed: (id: string) => boolean,
    instanceId: string,
  ): Promise<void> {
    const { marks, onFound, onError } = this.#options
    this.#instanceId = instanceId
    this.#foundAtMs = this.#uptimeMs()
    this.#unlisted.clear()
    await marks.prepare()
    for (const id of present) if (!isListed(id)) this.#unlisted.add(id)
    for (const id of await marks.ids()) if (!this.#unlisted.has(id)) await marks.remove(id)
    const found: UnlistedMark[] = []
    // what cannot be marked now, e.g. on a full disk, is not deleted either
    for (const id of this.#unlisted) await this.#marked(id).then((mark) => found.push(mark), onError)
    if (found.length > 0) onFound(found)
  }

  /** How many there are. */
  get size(): number {
    return this.#unlisted.size
  }

  /** For a thing that is deleted on purpose. */
  async forget(id: string): Promise<void> {
    if (this.#unlisted.delete(id)) await this.#options.marks.remove(id)
  }

  /** Deletes what has been unlisted for the grace period. @param isAsked people asked for it: it need not wait for the first hour of a server */
  async collect({ isAsked }: { isAsked: boolean }): Promise<void> {
    const { graceMs, marks, remove, onRemoved, onError } = this.#options
    if (!isAsked && this.#uptimeMs() - this.#foundAtMs < SETTLING_MS) return
    for (const id of this.#unlisted)
      try {
        const mark = await this.#marked(id)
        if (this.#now() - mark.sinceMs < graceMs) continue
        await remove(id)
        await marks.remove(id)
        this.#unlisted.delete(id)
        onRemoved(mark)
      } catch (error) {
        onError(error)
      }
  }

  /** Its mark by this database; one that is torn, another's or impossible is written anew, and its time begins again. */
  async #marked(id: string): Promise<UnlistedMark> {
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
