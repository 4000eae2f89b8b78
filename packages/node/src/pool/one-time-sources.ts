/**
 * Sources from which machines are started once, kept while callers wait for such machines; concurrent forks share a
 * source.
 */
export class OneTimeSources<Source> {
  readonly #sources = new Map<string, { source: Source; waiting: number }>()

  get(key: string): Source | undefined {
    return this.#sources.get(key)?.source
  }

  /** Keeps the source under its key until the last `work` that uses it has ended. */
  async during<T>(key: string, source: Source, work: () => Promise<T>): Promise<T> {
    const entry = this.#sources.get(key) ?? { source, waiting: 0 }
    entry.waiting++
    this.#sources.set(key, entry)
    try {
      return await work()
    } finally {
      entry.waiting--
      if (entry.waiting === 0) this.#sources.delete(key)
    }
  }
}
