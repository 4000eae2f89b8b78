import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { writeAtomically } from '../host/atomic-writes.ts'

/** Of one checkpoint that has its files in its memory only; others are saved again when they are asked for. */
const MAX_KEPT = 8
const MAX_BYTES = 4 * 2 ** 30

interface Entry {
  /** Bytes that they take. */
  extracting: Promise<number>
  /** Nobody waits for it any more. */
  unwanted: AbortController
  users: number
}

/**
 * Saved file systems of checkpoints that were only saved with their memory, for as long as this server runs: getting
 * at one costs a restore. The least recently used go first.
 */
export class ExtractedFiles {
  readonly #dir: string
  /** By last use, the oldest first. */
  readonly #kept = new Map<string, Entry>()

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Removes what a former server left. */
  async prepare(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true })
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
  }

  /**
   * Lets `work` use them.
   * @param checkpointId checked by the caller: it becomes a path
   * @param extract writes them into a folder that is not there yet; not called when they are known, aborted when the
   *   last who waits for them gives up
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
    const leave = () => {
      if (--entry.users === 0) entry.unwanted.abort(signal.reason)
    }
    signal.addEventListener('abort', leave, { once: true })
    try {
      await entry.extracting
      signal.throwIfAborted()
      return await work(dir)
    } catch (error) {
      // they may be the reason: the next one tries anew
      const isOnlyUser = entry.users <= 1 && this.#kept.get(checkpointId) === entry
      if (isOnlyUser) await this.forget(checkpointId)
      throw signal.aborted ? signal.reason : error
    } finally {
      if (!signal.aborted) entry.users--
      signal.removeEventListener('abort', leave)
      await this.#trim()
    }
  }

  /** One whose last user gave up is ending: who comes now must not share its end. */
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

  /** The checkpoint was deleted, or space is short. */
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
