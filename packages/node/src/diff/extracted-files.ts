import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { writeAtomically } from '../host/atomic-writes.ts'

/** Maximum number of cached file systems; others are extracted again when needed. */
const MAX_KEPT = 8
const MAX_BYTES = 4 * 2 ** 30

interface Entry {
  /** Resolves with the bytes on disk. */
  extracting: Promise<number>
  /** Aborted when the last waiting caller has given up. */
  unwanted: AbortController
  users: number
}

/**
 * Caches the file systems of checkpoints that saved them only as part of the memory, because extracting one requires a
 * restore. The cache ends with the server process; the least recently used file systems are dropped first.
 */
export class ExtractedFiles {
  readonly #dir: string
  /** In order of last use, the oldest first. */
  readonly #kept = new Map<string, Entry>()

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Removes the files of a former server. */
  async prepare(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true })
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
  }

  /**
   * Lets `work` use the files of a checkpoint.
   * @param checkpointId validated by the caller, because it becomes a path
   * @param extract writes the files into a folder that does not exist yet. Not called when the files are cached; aborted
   *   when the last waiting caller gives up
   */
  async use<T>(
    checkpointId: string,
    signal: AbortSignal,
    extract: (dir: string, signal: AbortSignal) => Promise<void>,
    work: (dir: string) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted()
    const dir = join(this.#dir, checkpointId)
    await this.#dropUnwanted(checkpointId)
    signal.throwIfAborted()
    const entry = this.#kept.get(checkpointId) ?? this.#begin(dir, extract)
    this.#kept.delete(checkpointId)
    this.#kept.set(checkpointId, entry)
    entry.users++
    const giveUp = () => {
      if (--entry.users === 0) entry.unwanted.abort(signal.reason)
    }
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      await entry.extracting
      signal.throwIfAborted()
      return await work(dir)
    } catch (error) {
      // the files may be the cause of the failure: the next caller extracts them again
      const isOnlyUser = entry.users <= 1 && this.#kept.get(checkpointId) === entry
      if (isOnlyUser) await this.forget(checkpointId)
      throw signal.aborted ? signal.reason : error
    } finally {
      if (!signal.aborted) entry.users--
      signal.removeEventListener('abort', giveUp)
      await this.#trim()
    }
  }

  /** Waits for an aborted extraction to end, which a new caller must not share. */
  async #dropUnwanted(checkpointId: string): Promise<void> {
    let entry = this.#kept.get(checkpointId)
    while (entry?.unwanted.signal.aborted) {
      await entry.extracting.catch(() => {})
      if (this.#kept.get(checkpointId) === entry) await this.forget(checkpointId)
      entry = this.#kept.get(checkpointId)
    }
  }

  #begin(dir: string, extract: (dir: string, signal: AbortSignal) => Promise<void>): Entry {
    const unwanted = new AbortController()
    return {
      extracting: this.#extract(dir, (writing) => extract(writing, unwanted.signal)),
      unwanted,
      users: 0,
    }
  }

  /** Drops the files of a checkpoint. */
  async forget(checkpointId: string): Promise<void> {
    this.#kept.delete(checkpointId)
    await rm(join(this.#dir, checkpointId), { recursive: true, force: true })
  }

  async #extract(dir: string, extract: (dir: string) => Promise<void>): Promise<number> {
    const publish = async (writing: string) => {
      await rm(dir, { recursive: true, force: true })
      await rename(writing, dir)
    }
    await writeAtomically(dir, extract, { name: basename(dir), publish })
    const sizes = (await readdir(dir)).map(async (name) => (await stat(join(dir, name))).blocks * 512)
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
  }

  async #trim(): Promise<void> {
    const idle = [...this.#kept].filter(([, { users }]) => users === 0)
    const sizes = await Promise.all(idle.map(([, { extracting }]) => extracting.catch(() => 0)))
    let [count, bytes] = [idle.length, sizes.reduce((sum, size) => sum + size, 0)]
    for (const [index, [checkpointId, entry]] of idle.entries()) {
      if (count <= MAX_KEPT && bytes <= MAX_BYTES) return
      count--
      bytes -= sizes[index]!
      if (entry.users === 0 && this.#kept.get(checkpointId) === entry) await this.forget(checkpointId)
    }
  }
}
