import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { removeUnfinished, WRITING_PREFIX, writeFileAtomically } from '../host/atomic-writes.ts'

const SUFFIX = '.json'
const ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/

/** Records since when a thing on the disk has not been listed, and by which database. */
export interface UnlistedMark {
  id: string
  /** Unix milliseconds of the first start that found it unlisted. */
  sinceMs: number
  /** Id of the database that did not list the thing; under another database it is not deleted. */
  instanceId: string
  /** Unpacked size; undefined when this machine does not know it. */
  sizeBytes?: number
}

/** Marks of unlisted things, one small file each. Files that cannot be read count as absent. */
export class UnlistedMarks {
  readonly #dir: string

  /** @param dir for marks of one kind of things, e.g. `<home>/unlisted/checkpoints` */
  constructor(dir: string) {
    this.#dir = dir
  }

  /** Removes half-written files of a crash. */
  async prepare(): Promise<void> {
    await removeUnfinished(this.#dir)
  }

  async list(): Promise<UnlistedMark[]> {
    const marks = await Promise.all((await this.ids()).map((id) => this.find(id)))
    return marks.filter((mark) => mark !== undefined).sort((a, b) => a.sinceMs - b.sinceMs)
  }

  /** Ids of all marks, including unreadable ones. */
  async ids(): Promise<string[]> {
    const names = await readdir(this.#dir).catch(() => [])
    return names
      .filter((name) => name.endsWith(SUFFIX) && !name.startsWith(WRITING_PREFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .filter((id) => ID.test(id))
  }

  async find(id: string): Promise<UnlistedMark | undefined> {
    try {
      const mark = JSON.parse(await readFile(this.#pathOf(id), 'utf8')) as UnlistedMark
      const isWhole =
        mark.id === id && Number.isSafeInteger(mark.sinceMs) && typeof mark.instanceId === 'string'
      return isWhole ? mark : undefined
    } catch {
      return undefined
    }
  }

  async put(mark: UnlistedMark): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    await writeFileAtomically(this.#pathOf(mark.id), JSON.stringify(mark), { isFlushed: true })
  }

  async remove(id: string): Promise<void> {
    await rm(this.#pathOf(id), { force: true })
  }

  #pathOf(id: string): string {
    if (!ID.test(id)) throw new Error(`${JSON.stringify(id).slice(0, 120)} is not a valid id for a mark`)
    return join(this.#dir, `${id}${SUFFIX}`)
  }
}

/**
 * Lists the things that a home keeps although the database of the last start did not list them, with or without a running
 * server.
 */
export async function unlistedIn(
  home: string,
): Promise<{ checkpoints: UnlistedMark[]; machines: UnlistedMark[] }> {
  const [checkpoints, machines] = await Promise.all(
    ['checkpoints', 'machines'].map((kind) => marksIn(home, kind as 'checkpoints' | 'machines').list()),
  )
  return { checkpoints: checkpoints!, machines: machines! }
}

export const marksIn = (home: string, kind: 'checkpoints' | 'machines'): UnlistedMarks =>
  new UnlistedMarks(join(home, 'unlisted', kind))
