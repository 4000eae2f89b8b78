import type { BodyHandler, BodyReader } from './body.ts'
import { END_OF_CHUNK, sizeLine } from './chunks.ts'
import { parseTrailers } from './head.ts'
import { HeadReader } from './head-reader.ts'
import { MalformedError } from './malformed.ts'

const CR = 0x0d
const LF = 0x0a
/** With its extensions, which are dropped. */
const MAX_SIZE_LINE_BYTES = 1024
const SIZE_LINE = /^([0-9a-f]{1,16})(;[\t\x20-\x7e\x80-\xff]*)?\r\n$/i
/** Larger chunks are refused: some servers count in 32 bits. */
const MAX_CHUNK_BYTES = 0xffff_ffff
/** How everybody writes sizes. Others are written anew, so that the next server reads what was read here. */
const COMMON_LINE = /^[1-9a-f][0-9a-f]{0,6}\r\n$/i

type Part = 'size' | 'data' | 'end of data' | 'trailers' | 'nothing'

/** Reads a chunked body (RFC 9112, 7.1), and hands on its frames, so that they need not be made again. */
export class ChunkedReader implements BodyReader {
  readonly #handler: BodyHandler
  readonly #trailers = new HeadReader()
  #part: Part = 'size'
  /** A size of which not all has come. */
  #line = ''
  /** Of the data of this chunk. */
  #missingBytes = 0
  #hasReturn = false

  constructor(handler: BodyHandler) {
    this.#handler = handler
  }

  get isEnded(): boolean {
    return this.#part === 'nothing'
  }

  close(): boolean {
    return this.isEnded
  }

  push(chunk: Buffer): number {
    let at = 0
    while (at < chunk.length && !this.isEnded) {
      if (this.#part === 'data') at = this.#readData(chunk, at)
      else if (this.#part === 'size') at = this.#readSize(chunk, at)
      else if (this.#part === 'end of data') at = this.#readEndOfData(chunk, at)
      else at += this.#readTrailers(at === 0 ? chunk : chunk.subarray(at))
    }
    return at
  }

  #readData(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#missingBytes)
    this.#missingBytes -= end - at
    this.#handler.data(chunk.subarray(at, end))
    if (this.#missingBytes === 0) this.#part = 'end of data'
    return end
  }

  #readSize(chunk: Buffer, at: number): number {
    const room = chunk.subarray(at, at + MAX_SIZE_LINE_BYTES + 1 - this.#line.length)
    const lineEnd = room.indexOf(LF) + 1
    const isWhole = this.#line === ''
    const taken = lineEnd === 0 ? room.length : lineEnd
    const line = this.#line + room.toString('latin1', 0, taken)
    if (line.length > MAX_SIZE_LINE_BYTES) throw new MalformedError('the size of a chunk has no end')
    this.#line = lineEnd === 0 ? line : ''
    if (lineEnd === 0) return at + taken
    const size = SIZE_LINE.exec(line)?.[1]
    if (size === undefined) throw new MalformedError('the size of a chunk is not a number')
    this.#missingBytes = Number.parseInt(size, 16)
    if (this.#missingBytes > MAX_CHUNK_BYTES) throw new MalformedError('a chunk is too large')
    this.#part = this.#missingBytes > 0 ? 'data' : 'trailers'
    // the last frame is written with the trailers that may pass
    if (this.#missingBytes > 0)
      this.#handler.frame(
        isWhole && COMMON_LINE.test(line) ? room.subarray(0, taken) : sizeLine(this.#missingBytes),
      )
    return at + taken
  }

  #readEndOfData(chunk: Buffer, at: number): number {
    if (!this.#hasReturn && chunk[at] === CR && chunk[at + 1] === LF) {
      this.#part = 'size'
      this.#handler.frame(chunk.subarray(at, at + 2))
      return at + 2
    }
    if (chunk[at] !== (this.#hasReturn ? LF : CR)) throw new MalformedError('a chunk is longer than its size')
    if (this.#hasReturn) {
      this.#part = 'size'
      this.#handler.frame(END_OF_CHUNK)
    }
    this.#hasReturn = !this.#hasReturn
    return at + 1
  }

  #readTrailers(chunk: Buffer): number {
    const found = this.#trailers.push(chunk)
    if (!found) return chunk.length
    this.#part = 'nothing'
    this.#handler.end(parseTrailers(found.text))
    return found.takenBytes
  }
}
