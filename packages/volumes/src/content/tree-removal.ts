import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rename, rmdir, unlink } from 'node:fs/promises'
import { codeOf } from '../errors.ts'
import { openChildFolder, pathIn, withDescriptor } from './descriptors.ts'
import { namesIn } from './listing.ts'

/** Folders below this level are moved up first, so that trees of any depth need few open files. */
const MAX_LEVELS = 32
/** How often a folder is emptied again in which a sandbox, which has it open, makes new files. */
const MAX_PASSES = 20

/**
 * Removes everything in a folder of the host, but not the folder. Links are removed, never followed, and nothing of another
 * file system is removed. The trees may be changed by others meanwhile.
 * @param keeps names that stay. Default: none
 */
export async function removeTrees(
  folder: string,
  signal?: AbortSignal,
  keeps: (name: Buffer) => boolean | Promise<boolean> = () => false,
): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    const removal = new TreeRemoval(handle.fd, signal)
    let isEmpty = false
    for (let pass = 0; pass < MAX_PASSES && !isEmpty; pass += 1) {
      isEmpty = true
      for await (const names of namesIn(handle.fd)) {
        for (const name of names) {
          if (await keeps(name)) continue
          isEmpty = false
          await removal.remove(name)
        }
      }
      isEmpty &&= removal.takeMoved() === 0
    }
  } finally {
    await handle.close()
  }
}

/** Removes entries of one open folder. */
export class TreeRemoval {
  readonly #top: number
  readonly #signal: AbortSignal | undefined
  #moved = 0

  constructor(top: number, signal?: AbortSignal) {
    this.#top = top
    this.#signal = signal
  }

  /** Removes the entry, and what was moved up out of it. */
  async remove(name: Buffer): Promise<void> {
    const pending = [name]
    for (let next = pending.pop(); next; next = pending.pop())
      await this.#removeEntry(this.#top, next, 0, pending)
  }

  /** Number of folders that were moved up since the last call. */
  takeMoved(): number {
    const moved = this.#moved
    this.#moved = 0
    return moved
  }

  async #removeEntry(parent: number, name: Buffer, level: number, pending: Buffer[]): Promise<void> {
    this.#signal?.throwIfAborted()
    const location = pathIn(parent, name)
    try {
      await unlink(location)
      return
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return
      if (codeOf(error) !== 'EISDIR' && codeOf(error) !== 'EPERM') throw error
    }
    if (level >= MAX_LEVELS) {
      const moved = Buffer.from(randomUUID())
      try {
        await rename(location, pathIn(this.#top, moved))
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return
        throw error
      }
      this.#moved += 1
      pending.push(moved)
      return
    }
    for (let pass = 0; ; pass += 1) {
      await this.#empty(parent, name, level, pending)
      try {
        await rmdir(location)
        return
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return
        if (codeOf(error) !== 'ENOTEMPTY' || pass >= MAX_PASSES) throw error
      }
    }
  }

  async #empty(parent: number, name: Buffer, level: number, pending: Buffer[]): Promise<void> {
    try {
      await withDescriptor(openChildFolder(parent, name), async (folder) => {
        for await (const names of namesIn(folder))
          for (const child of names) await this.#removeEntry(folder, child, level + 1, pending)
      })
    } catch (error) {
      // replaced by something else meanwhile
      if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw error
    }
  }
}
