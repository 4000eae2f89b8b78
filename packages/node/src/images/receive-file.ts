import { type FileHandle, open, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { SandlotError } from '@sandlot/protocol'

const PIECE_BYTES = 64 * 1024
/** Free space is looked at whenever so much was written. */
const LOOK_EVERY_BYTES = 64 * 2 ** 20
const ZEROS = Buffer.alloc(PIECE_BYTES)

export interface FileLimits {
  /** Holes count. */
  maxBytes: number
  /** The disk keeps at least so much. */
  spareBytes: number
}

/**
 * A new file of bytes that nobody here looks into. Runs of zeros become holes, so that what was sparse inside a machine
 * takes no disk outside of it.
 */
export class ReceivedFile {
  readonly #path: string
  readonly #file: FileHandle
  readonly #limits: FileLimits
  /** Where the next byte belongs. */
  #position: number
  #writtenBytes = 0
  #lookAtBytes = 0

  private constructor(path: string, file: FileHandle, position: number, limits: FileLimits) {
    this.#path = path
    this.#file = file
    this.#position = position
    this.#limits = limits
  }

  /** @param position of the first byte that `add` gets @throws when there is such a file, whatever it is */
  static async create(path: string, position: number, limits: FileLimits): Promise<ReceivedFile> {
    return new ReceivedFile(path, await open(path, 'wx', 0o644), position, limits)
  }

  /** The chunk may be used anew when this has resolved. @throws SandlotError invalid_request above the limit, disk_full */
  async add(chunk: Buffer): Promise<void> {
    const { maxBytes } = this.#limits
    if (this.#position + chunk.length > maxBytes)
      throw new SandlotError(
        'invalid_request',
        `the image has more than the ${Math.floor(maxBytes / 2 ** 20)} MB that it may have`,
      )
    if (this.#writtenBytes >= this.#lookAtBytes) await this.#checkSpace()
    for (let at = 0; at < chunk.length; ) {
      const { end, isZero } = this.#runFrom(chunk, at)
      if (!isZero) {
        await this.#file.write(chunk, at, end - at, this.#position + at)
        this.#writtenBytes += end - at
      }
      at = end
    }
    this.#position += chunk.length
  }

  /** Writes the bytes before `position`, which are known last. @returns the size of the file */
  async finish(head: Buffer): Promise<number> {
    await this.#file.truncate(this.#position)
    await this.#file.write(head, 0, head.length, 0)
    return this.#position
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** The pieces from there on that all are zeros, or all are not. */
  #runFrom(chunk: Buffer, start: number): { end: number; isZero: boolean } {
    let end = this.#endOfPiece(chunk, start)
    const isZero = isAllZero(chunk, start, end)
    while (end < chunk.length) {
      const next = this.#endOfPiece(chunk, end)
      if (isAllZero(chunk, end, next) !== isZero) break
      end = next
    }
    return { end, isZero }
  }

  /** Pieces are those of the file. */
  #endOfPiece(chunk: Buffer, at: number): number {
    return Math.min(chunk.length, at + PIECE_BYTES - ((this.#position + at) % PIECE_BYTES))
  }

  async #checkSpace(): Promise<void> {
    this.#lookAtBytes = this.#writtenBytes + LOOK_EVERY_BYTES
    const { bavail, bsize } = await statfs(dirname(this.#path))
    if (bavail * bsize < this.#limits.spareBytes + LOOK_EVERY_BYTES)
      throw new SandlotError('disk_full', 'the disk of this machine has no room for the image')
  }
}

const isAllZero = (chunk: Buffer, start: number, end: number): boolean =>
  chunk.compare(ZEROS, 0, end - start, start, end) === 0
