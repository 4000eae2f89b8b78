import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'

/** Where a node reads the archives of COPY steps from, by key (see `archiveKey`). */
export interface ArchiveSource {
  /**
   * Lets `work` read an archive, which is a file of this machine meanwhile.
   * @throws SandlotError invalid_request: this cannot be a key, and what `work` throws
   */
  use<T>(key: string, work: (path: string) => Promise<T>): Promise<T>
}

/** One name within the folder; a first character `.` marks an archive that is being received. */
const KEY = /^\.?[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/

/** Archives in a folder that the control plane writes to on the same machine. */
export class FolderArchives implements ArchiveSource {
  readonly #dir: string

  constructor(dir: string) {
    this.#dir = dir
  }

  async use<T>(key: string, work: (path: string) => Promise<T>): Promise<T> {
    if (!KEY.test(key))
      throw new SandlotError('invalid_request', `'${key.slice(0, 100)}' cannot be the key of an archive`)
    return work(join(this.#dir, key))
  }
}
