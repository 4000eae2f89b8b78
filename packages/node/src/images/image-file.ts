import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'

const LOOK_EVERY_MS = 200

export interface FileLimits {
  /** Holes count. */
  maxBytes: number
  /** The disk keeps at least so much. */
  spareBytes: number
}

/**
 * A new file that a confined program writes as its standard output, wherever in it and whatever it likes. Nobody here
 * looks into it; its size and the disk are watched.
 */
export class ImageFile {
  readonly path: string
  readonly #file: FileHandle

  private constructor(path: string, file: FileHandle) {
    this.path = path
    this.#file = file
  }

  /** @throws when there is such a file, whatever it is */
  static async create(path: string): Promise<ImageFile> {
    return new ImageFile(path, await open(path, 'wx', 0o644))
  }

  /** -1 when it is closed: the number may be another file's by then. */
  get fd(): number {
    return this.#file.fd
  }

  /** @param write is aborted when the file becomes too large, or the disk too full @throws SandlotError, what it throws */
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
        await sleep(LOOK_EVERY_MS, undefined, { signal: written.signal }).catch(() => {})
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

  /** When nobody can write it any more. @throws SandlotError when it is not as it should be */
  async finish(sizeBytes: number, limits: FileLimits): Promise<void> {
    await this.#check(limits)
    const { size } = await this.#file.stat()
    await this.#file.close()
    if (size !== sizeBytes)
      throw new SandlotError(
        'sandbox_unreachable',
        `the image has ${size} bytes, and its machine spoke of ${sizeBytes}`,
      )
  }

  /** Closes it. */
  close = (): Promise<void> => this.#file.close()

  /** Closes it and takes it away, if it still has its name. */
  async remove(): Promise<void> {
    await this.close()
    await rm(this.path, { force: true })
  }

  async #check({ maxBytes, spareBytes }: FileLimits): Promise<void> {
    const [{ size }, { bavail, bsize }] = await Promise.all([this.#file.stat(), statfs(dirname(this.path))])
    if (size > maxBytes)
      throw new SandlotError(
        'invalid_request',
        `the image has more than the ${Math.floor(maxBytes / 2 ** 20)} MB that it may have`,
      )
    if (bavail * bsize < spareBytes)
      throw new SandlotError('disk_full', 'the disk of this machine has no room for the image')
  }
}
