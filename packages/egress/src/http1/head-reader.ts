import { MAX_HEADER_BYTES } from '../http/message.ts'
import { MalformedError } from './malformed.ts'

const CR = 0x0d
const LF = 0x0a
const FIRST_BYTES = 1024

/** Collects lines until an empty one. Every line must end with CR LF. Holds at most `MAX_HEADER_BYTES` and one byte. */
export class HeadReader {
  /** What has come in earlier pieces. */
  #buffer: Buffer | undefined
  #bytes = 0
  #lineStart = 0

  /** Whether bytes of a head have come that is not complete. */
  get isBegun(): boolean {
    return this.#bytes > 0
  }

  /**
   * @returns the lines with their ends, and how many bytes of the chunk they took; undefined when all were taken and more
   *   are needed
   * @throws MalformedError
   */
  push(chunk: Buffer): { text: string; takenBytes: number } | undefined {
    const before = this.#bytes
    const isAlone = before === 0
    const head = isAlone ? chunk.subarray(0, MAX_HEADER_BYTES + 1) : this.#append(chunk)
    const end = this.#findEnd(head, before)
    if (end > MAX_HEADER_BYTES || (end < 0 && head.length > MAX_HEADER_BYTES))
      throw new MalformedError(`the head is larger than ${MAX_HEADER_BYTES} bytes`, 431)
    if (end < 0) {
      if (isAlone) this.#append(chunk)
      return undefined
    }
    this.#buffer = undefined
    this.#bytes = 0
    this.#lineStart = 0
    return { text: head.toString('latin1', 0, end), takenBytes: end - before }
  }

  /** @returns all bytes until now, without those that no head has room for */
  #append(chunk: Buffer): Buffer {
    const added = chunk.subarray(0, MAX_HEADER_BYTES + 1 - this.#bytes)
    const bytes = this.#bytes + added.length
    let buffer = this.#buffer
    if (!buffer || buffer.length < bytes) {
      buffer = Buffer.allocUnsafe(Math.min(Math.max(FIRST_BYTES, 2 * bytes), MAX_HEADER_BYTES + 1))
      this.#buffer?.copy(buffer, 0, 0, this.#bytes)
      this.#buffer = buffer
    }
    added.copy(buffer, this.#bytes)
    this.#bytes = bytes
    return buffer.subarray(0, bytes)
  }

  /** @returns where the head ends; -1 when its end is not there */
  #findEnd(head: Buffer, from: number): number {
    for (let at = head.indexOf(LF, from); at >= 0; at = head.indexOf(LF, at + 1)) {
      if (at === 0 || head[at - 1] !== CR) throw new MalformedError('a line ends without a carriage return')
      if (at - 1 === this.#lineStart) return at + 1
      this.#lineStart = at + 1
    }
    return -1
  }
}
