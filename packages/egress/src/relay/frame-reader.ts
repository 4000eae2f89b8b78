import { ConnectionError, ErrorCode, Flag, FRAME_HEADER_BYTES, type Frame, FrameType } from './frames.ts'

const NOTHING = Buffer.alloc(0)

/** What becomes of a frame: its bytes go on as they come, it is read as a whole, or it is dropped. */
export type Treatment = 'pass' | 'read' | 'drop'

export interface FrameHandler {
  /**
   * Called with the header of each frame, before bytes of earlier frames have passed. The object is used again for the next
   * frame. The handler must bound the length of what it reads.
   */
  begin(frame: Frame): Treatment
  /** Gets bytes of frames that pass, in order. */
  pass(bytes: Buffer): void
  /** Gets a frame that was to be read, at once with its whole payload. */
  read(frame: Frame, payload: Buffer): void
}

/**
 * Cuts the bytes of a connection into frames. What passes is handed on in pieces as large as they arrive, so that bulk data
 * costs little more than the look at a header every 16 KiB. Holds at most one frame that is read.
 */
export class FrameReader {
  readonly #handler: FrameHandler
  readonly #frame: Frame = { type: 0, flags: 0, stream: 0, length: 0, padding: 0 }
  /** A header of which not all bytes have arrived. */
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES + 1)
  #headerBytes = 0
  #treatment: Treatment = 'drop'
  /** Of the payload of the frame that is being read. */
  #missingBytes = 0
  /** What has arrived of a frame that is read, when it comes in pieces. */
  #payload: Buffer | undefined
  #isPaused = false
  #rest: Buffer | undefined

  constructor(handler: FrameHandler) {
    this.#handler = handler
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Whether a part of a frame has passed, so that no other frame may be put after it. */
  get isAmidPassed(): boolean {
    return this.#treatment === 'pass' && this.#missingBytes > 0
  }

  /** Handles no frame after the current one until `resume`; keeps what is pushed. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    const rest = this.#rest
    this.#rest = undefined
    if (rest) this.push(rest)
  }

  /** @throws ConnectionError, and what the handler throws */
  push(chunk: Buffer): void {
    let at = 0
    /** Bytes from here to `at` pass. */
    let passFrom = 0
    const passUntil = (end: number) => {
      if (end > passFrom) this.#handler.pass(chunk.subarray(passFrom, end))
    }
    while (at < chunk.length && !this.#isPaused) {
      if (this.#missingBytes > 0) {
        const taken = Math.min(this.#missingBytes, chunk.length - at)
        this.#missingBytes -= taken
        at += taken
        if (this.#treatment !== 'pass') passFrom = at
        if (this.#treatment === 'read') this.#take(chunk.subarray(at - taken, at))
        continue
      }
      const start = at
      const isWhole = this.#headerBytes === 0
      try {
        at = this.#readHeader(chunk, at)
        if (at >= 0) this.#treatment = this.#handler.begin(this.#frame)
      } catch (error) {
        // what came before is whole, and nothing of this frame passes
        passUntil(start)
        this.#treatment = 'drop'
        throw error
      }
      if (at < 0) {
        passUntil(start)
        return
      }
      if (this.#treatment === 'pass') {
        if (isWhole) continue
        passUntil(start)
        this.#handler.pass(Buffer.from(this.#header.subarray(0, this.#headerLength())))
        passFrom = at
      } else {
        passUntil(start)
        passFrom = at
        if (this.#treatment === 'read' && this.#missingBytes === 0) this.#take(NOTHING)
      }
    }
    passUntil(at)
    if (at === chunk.length) return
    // the chunk may change before `resume`
    this.#rest = Buffer.concat([this.#rest ?? NOTHING, chunk.subarray(at)])
  }

  /** @returns where the payload begins; -1 when the header is not complete */
  #readHeader(chunk: Buffer, at: number): number {
    const before = this.#headerBytes
    const available = Math.min(this.#header.length, before + chunk.length - at)
    if (before < available) chunk.copy(this.#header, before, at, at + available - before)
    this.#headerBytes = available
    if (available < FRAME_HEADER_BYTES || available < this.#headerLength()) return -1
    this.#headerBytes = 0
    this.#parse()
    return at + this.#headerLength() - before
  }

  /** The length of padding belongs to the payload, but is needed to count data. */
  #headerLength(): number {
    const isPadded = this.#header[3] === FrameType.DATA && (this.#header[4]! & Flag.PADDED) !== 0
    return isPadded ? FRAME_HEADER_BYTES + 1 : FRAME_HEADER_BYTES
  }

  #parse(): void {
    const header = this.#header
    const frame = this.#frame
    frame.length = header.readUIntBE(0, 3)
    frame.type = header[3]!
    frame.flags = header[4]!
    frame.stream = header.readUInt32BE(5) & 0x7fffffff
    const isPadded = this.#headerLength() > FRAME_HEADER_BYTES
    frame.padding = isPadded ? header[FRAME_HEADER_BYTES]! + 1 : 0
    if (frame.padding > frame.length)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a frame is shorter than its padding')
    this.#missingBytes = isPadded ? frame.length - 1 : frame.length
  }

  #take(bytes: Buffer): void {
    const { length } = this.#frame
    if (bytes.length === length) {
      this.#handler.read(this.#frame, bytes)
      return
    }
    this.#payload ??= Buffer.allocUnsafe(length)
    bytes.copy(this.#payload, length - this.#missingBytes - bytes.length)
    if (this.#missingBytes > 0) return
    const payload = this.#payload
    this.#payload = undefined
    this.#handler.read(this.#frame, payload)
  }
}
