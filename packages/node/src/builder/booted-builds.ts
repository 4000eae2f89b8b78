import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { isCheckpointId } from '@sandlot/protocol'
import { removeUnfinished, WRITING_PREFIX, writeFileAtomically } from '../host/atomic-writes.ts'

/**
 * Records which checkpoint holds the booted result of which build, so that an identical build can reuse the checkpoint's
 * files. When that checkpoint has been deleted, the next build boots again.
 */
export class BootedBuilds {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Creates the folder and removes half-written files of a crash. */
  async prepare(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    await removeUnfinished(this.#dir)
  }

  /** @returns id of a checkpoint, which may have been deleted since */
  async find(key: string): Promise<string | undefined> {
    const id = await readFile(join(this.#dir, key), 'utf8').catch(() => '')
    return isCheckpointId(id) ? id : undefined
  }

  async add(key: string, checkpointId: string): Promise<void> {
    await writeFileAtomically(join(this.#dir, key), checkpointId)
  }

  /** Removes records whose checkpoint is gone. */
  async collect(checkpointIds: ReadonlySet<string>): Promise<void> {
    for (const key of await readdir(this.#dir)) {
      const id = await this.find(key)
      if (!key.startsWith(WRITING_PREFIX) && (!id || !checkpointIds.has(id)))
        await rm(join(this.#dir, key), { force: true })
    }
  }
}
