import { wholeCharacters } from './clip.ts'

/** Share of the shown bytes that is taken from the beginning; the end of an output usually says what happened. */
const HEAD_SHARE = 0.25

/** Keeps the beginning and the end of a stream of bytes, in memory that does not grow with the stream. */
export class HeadAndTail {
  readonly #headBytes: number
  readonly #tailBytes: number
  readonly #head: Uint8Array[] = []
  #headSize = 0
  #tail: Uint8Array[] = []
  #tailSize = 0
  #size = 0

  /** @param maxBytes bytes that are kept */
  constructor(maxBytes: number) {
    this.#headBytes = Math.floor(maxBytes * HEAD_SHARE)
    this.#tailBytes = maxBytes - this.#headBytes
  }

  /** Bytes of the whole stream so far. */
  get sizeBytes(): number {
    return this.#size
  }

  get isCut(): boolean {
    return this.#size > this.#headSize + this.#tailSize
  }

  add(bytes: Uint8Array): void {
    this.#size += bytes.length
    const toHead = Math.min(bytes.length, this.#headBytes - this.#headSize)
    if (toHead > 0) {
      this.#head.push(bytes.slice(0, toHead))
      this.#headSize += toHead
    }
    if (toHead === bytes.length) return
    this.#tail.push(bytes.slice(toHead))
    this.#tailSize += bytes.length - toHead
    this.#trimTail()
  }

  /** @param marker line between beginning and end, given the number of bytes that were left out */
  text(marker: (leftOutBytes: number) => string): string {
    const tail = concat(this.#tail)
    if (!this.isCut) return decode(concat([concat(this.#head), tail]))
    const head = concat(this.#head)
    const whole = head.subarray(0, wholeCharacters(head))
    const start = tail.findIndex((byte) => byte < 0x80 || byte >= 0xc0)
    const end = tail.subarray(Math.max(0, start))
    return `${decode(whole)}\n${marker(this.#size - whole.length - end.length)}\n${decode(end)}`
  }

  /** Drops the oldest bytes of the tail. A stream of tiny pieces is joined, as each piece has a price of its own. */
  #trimTail(): void {
    if (this.#tail.length > 1024) this.#tail = [concat(this.#tail)]
    while (this.#tailSize > this.#tailBytes) {
      const first = this.#tail[0]!
      const excess = this.#tailSize - this.#tailBytes
      if (first.length <= excess) {
        this.#tail.shift()
        this.#tailSize -= first.length
      } else {
        this.#tail[0] = first.slice(excess)
        this.#tailSize -= excess
      }
    }
  }
}

/** Keeps the first bytes of several streams in the order of their arrival, to be stored as a file. */
export class Transcript {
  readonly #maxBytes: number
  readonly #pieces: Uint8Array[] = []
  #kept = 0
  #size = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get sizeBytes(): number {
    return this.#size
  }

  get isComplete(): boolean {
    return this.#size === this.#kept
  }

  add(bytes: Uint8Array): void {
    this.#size += bytes.length
    const taken = Math.min(bytes.length, this.#maxBytes - this.#kept)
    if (taken <= 0) return
    this.#pieces.push(bytes.slice(0, taken))
    this.#kept += taken
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return concat(this.#pieces)
  }
}

function concat(pieces: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    joined.set(piece, at)
    at += piece.length
  }
  return joined
}

const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
