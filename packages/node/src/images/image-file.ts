import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError, toMB } from '@sandlot/protocol'

const CHECK_INTERVAL_MS = 200

export interface FileLimits {
  /** Maximum size, holes included. */
  maxBytes: number
  /** Space that must stay free on the disk. */
  spareBytes: number
}

/**
 * A new file that a confined program writes as its standard output, at any position and with any content. The server
 * never reads the file, but watches its size and the free disk space.
 */
export class ImageFile {
  readonly path: string
  readonly #file: FileHandle

  private constructor(path: string, file: FileHandle) {
    this.path = path
    this.#file = file
  }

  /** @throws when the path exists already */
  static async create(path: string): Promise<ImageFile> {
    return new ImageFile(path, await open(path, 'wx', 0o644))
  }

  /** -1 when the file is closed, because the number may then belong to another file. */
  get fd(): number {
    return this.#file.fd
  }

  /**
   * @param write aborted when the file becomes too large or the disk runs out of space @throws SandlotError, what `write`
   * throws
   */
  async watch<T>(
    limits: FileLimits,
    signal: AbortSignal,
    write: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const written = new AbortController()
    const refused = new AbortController()
    const look = async () => {
      while (!written.signal.aborted) {
        await this.#check(limits)
        await sleep(CHECK_INTERVAL_MS, undefined, { signal: written.signal }).catch(() => {})
      }
    }
    const looking = look().catch((error) => refused.abort(error))
    try {
      return await write(AbortSignal.any([signal, refused.signal]))
    } finally {
      written.abort()
      await looking
    }
  }

  /**
   * Checks the size; must be called when no process can write the file any more. @throws SandlotError when its size is
   * wrong
   */
  async finish(sizeBytes: number, limits: FileLimits): Promise<void> {
    await this.#check(limits)
    const { size } = await this.#file.stat()
    await this.#file.close()
    if (size !== sizeBytes)
      throw new SandlotError(
        'sandbox_unreachable',
        `the image has ${size} bytes, but its machine reported ${sizeBytes}`,
      )
  }

  close = (): Promise<void> => this.#file.close()

  /** Closes the file and removes it, unless it was renamed. */
  async remove(): Promise<void> {
    await this.close()
    await rm(this.path, { force: true })
  }

  async #check({ maxBytes, spareBytes }: FileLimits): Promise<void> {
    const [{ size }, { bavail, bsize }] = await Promise.all([this.#file.stat(), statfs(dirname(this.path))])
    if (size > maxBytes)
      throw new SandlotError('invalid_request', `the image is larger than the allowed ${toMB(maxBytes)} MB`)
    if (bavail * bsize < spareBytes)
      throw new SandlotError('disk_full', 'the disk of this machine has no room for the image')
  }
}
