import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'

/** Provides archives of COPY steps by key (see `archiveKey`). */
export interface ArchiveSource {
  /**
   * Lets `work` read an archive, as a file on this machine.
   * @throws SandlotError invalid_request (malformed key), and what `work` throws
   */
  use<T>(key: string, work: (path: string) => Promise<T>): Promise<T>
}

/** Valid keys: file names; a leading `.` marks an archive that is being received. */
const KEY = /^\.?[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/

/** Archives in a local folder that the control plane writes to. */
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
