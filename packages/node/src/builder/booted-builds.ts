import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isCheckpointId } from '@sandlot/protocol'

const WRITING = '.writing-'

/**
 * Which checkpoint holds the booted result of which build: who builds the same again gets its files. It has no files of
 * its own, so that a deleted checkpoint is free; the next build then boots its steps again.
 */
export class BootedBuilds {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Makes the folder and removes what a crash left half written. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    for (const name of await readdir(this.#dir))
      if (name.startsWith(WRITING)) await rm(join(this.#dir, name), { force: true })
  }

  /** Id of a checkpoint that was there once. */
  async find(key: string): Promise<string | undefined> {
    const id = await readFile(join(this.#dir, key), 'utf8').catch(() => '')
    return isCheckpointId(id) ? id : undefined
  }

  async add(key: string, checkpointId: string): Promise<void> {
    const writing = join(this.#dir, `${WRITING}${randomUUID()}`)
    await writeFile(writing, checkpointId, { mode: 0o600 })
    await rename(writing, join(this.#dir, key))
  }

  /** Forgets those whose checkpoint is gone. */
  async collect(checkpointIds: ReadonlySet<string>): Promise<void> {
    for (const key of await readdir(this.#dir)) {
      const id = await this.find(key)
      if (!key.startsWith(WRITING) && (!id || !checkpointIds.has(id)))
        await rm(join(this.#dir, key), { force: true })
    }
  }
}
