import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FileDiff } from '@sandlot/protocol/node'
import type { FileEntry } from './file-entry.ts'
import type { FileReader } from './file-reader.ts'
import { PathList } from './path-list.ts'

/** One more path of each kind than the API shows, to tell whether there are more. */
export const MAX_PATHS = 10_001
/**
 * Number of folders that are compared concurrently, because most of the time is spent on round trips into the machine.
 */
const PARALLEL = 32
/** Entries to compare in one turn of the event loop. */
const STEP = 500
/** Up to this number, entries are compared without waiting for a turn. */
const SMALL = 50

type Files = Pick<FileReader, 'list' | 'digest'>
type Side = 'both' | 'from' | 'to'

/**
 * Compares the files of two checkpoints of a sandbox. Both lie over the same image, so only folders that one of them has
 * written into are visited, and written files are only read when their metadata is equal. A folder of the image that is
 * deleted or new as a whole is reported as one path.
 */
export async function compareFiles(from: Files, to: Files): Promise<FileDiff> {
  const comparison = new Comparison(from, to)
  await comparison.run()
  const [added, changed, deleted] = await Promise.all(
    [comparison.added, comparison.changed, comparison.deleted].map((paths) => paths.toArray()),
  )
  return { added: added!, changed: changed!, deleted: deleted! }
}

class Comparison {
  readonly added = new PathList(MAX_PATHS)
  readonly changed = new PathList(MAX_PATHS)
  readonly deleted = new PathList(MAX_PATHS)
  readonly #from: Files
  readonly #to: Files
  /** Folders to compare. A stack, which stays short because the deepest folder is compared first. */
  readonly #folders: { path: string; side: Side }[] = [{ path: '', side: 'both' }]
  #turn: Promise<unknown> = Promise.resolve()

  constructor(from: Files, to: Files) {
    this.#from = from
    this.#to = to
  }

  async run(): Promise<void> {
    const running = new Set<Promise<void>>()
    while (this.#folders.length > 0 || running.size > 0) {
      while (this.#folders.length > 0 && running.size < PARALLEL) {
        const { path, side } = this.#folders.pop()!
        const work = this.#compareFolder(path, side).finally(() => running.delete(work))
        running.add(work)
      }
      await Promise.race(running)
    }
  }

  async #compareFolder(path: string, side: Side): Promise<void> {
    const [before, after] = await Promise.all([
      side === 'to' ? [] : this.#from.list(path || '/'),
      side === 'from' ? [] : this.#to.list(path || '/'),
    ])
    const rest = new Map<string, FileEntry>()
    await this.#inSteps(before ?? [], async (entries) => {
      for (const entry of entries) rest.set(entry.name, entry)
    })
    await this.#inSteps(after ?? [], async (entries) => {
      const comparing: Promise<void>[] = []
      for (const entry of entries) {
        const old = rest.get(entry.name)
        rest.delete(entry.name)
        const work = this.#compareEntry(`${path}/${entry.name}`, old, entry)
        if (work) comparing.push(work)
      }
      await Promise.all(comparing)
    })
    await this.#inSteps([...rest.values()], async (entries) => {
      for (const entry of entries) this.#compareEntry(`${path}/${entry.name}`, entry, undefined)
    })
  }

  /** @returns a promise only when contents have to be read */
  #compareEntry(path: string, before?: FileEntry, after?: FileEntry): Promise<void> | undefined {
    const isWritten = before?.isWritten || after?.isWritten
    if (before && after && !isWritten) return
    if (before?.kind === 'directory' && after?.kind === 'directory')
      this.#folders.push({ path, side: 'both' })
    else {
      if (before?.kind === 'directory' && before.isWritten) this.#folders.push({ path, side: 'from' })
      if (after?.kind === 'directory' && after.isWritten) this.#folders.push({ path, side: 'to' })
    }
    if (!before) this.added.add(path)
    else if (!after) this.deleted.add(path)
    else if (before.kind !== after.kind || before.signature !== after.signature) this.changed.add(path)
    else if (before.kind === 'file' && isWritten) {
      if (before.sizeBytes !== after.sizeBytes) this.changed.add(path)
      else if (before.sizeBytes > 0) return this.#compareContents(path, before, after)
    }
  }

  /** Compares modification times, which a guest can set, when the limit for reading contents is reached. */
  async #compareContents(path: string, before: FileEntry, after: FileEntry): Promise<void> {
    const [old, now] = await Promise.all([this.#from.digest(path), this.#to.digest(path)])
    const isSame = old && now ? old === now : before.modifiedAt === after.modifiedAt
    if (!isSame) this.changed.add(path)
  }

  /**
   * Compares entries in steps, one step of all folders for each turn of the event loop, so that the server can handle
   * requests in between.
   */
  async #inSteps(entries: FileEntry[], work: (some: FileEntry[]) => Promise<void>): Promise<void> {
    for (let at = 0; at < entries.length; at += STEP) {
      if (entries.length > SMALL) {
        this.#turn = this.#turn.then(() => nextTurn())
        await this.#turn
      }
      await work(entries.slice(at, at + STEP))
    }
  }
}
