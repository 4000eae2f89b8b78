import { MAX_HEADER_BYTES } from '../http/message.ts'
import { blockOf, ConnectionError, ErrorCode, Flag, type Frame, FrameType } from './frames.ts'

const MAX_FRAMES = 64

/** The head of a message, which may span frames (RFC 9113, 4.3). Nothing else may come between them. */
export class HeaderBlock {
  #stream = 0
  #isEnd = false
  #parts: Buffer[] = []
  #sizeBytes = 0

  /** Must be called for every frame, before anything is done with it. @throws ConnectionError */
  check({ type, stream, length }: Frame): void {
    const isContinuation = type === FrameType.CONTINUATION
    if (this.#stream !== 0 ? !isContinuation || stream !== this.#stream : isContinuation)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a header block is interrupted')
    if (type !== FrameType.HEADERS && !isContinuation) return
    if (this.#sizeBytes + length > MAX_HEADER_BYTES || this.#parts.length >= MAX_FRAMES)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'a header block is too large')
  }

  /** Adds a frame, and returns the block when it is complete. @throws ConnectionError */
  add(frame: Frame, payload: Buffer): { stream: number; isEnd: boolean; block: Buffer } | undefined {
    const isFirst = frame.type === FrameType.HEADERS
    if (isFirst) {
      this.#stream = frame.stream
      this.#isEnd = (frame.flags & Flag.END_STREAM) !== 0
    }
    const part = isFirst ? blockOf(frame, payload) : payload
    this.#sizeBytes += part.length
    // the payload is a part of the buffer of a read, which must not be kept for it
    this.#parts.push((frame.flags & Flag.END_HEADERS) !== 0 ? part : Buffer.from(part))
    if ((frame.flags & Flag.END_HEADERS) === 0) return undefined
    const { length } = this.#parts
    const whole = {
      stream: this.#stream,
      isEnd: this.#isEnd,
      block: length === 1 ? part : Buffer.concat(this.#parts),
    }
    this.#stream = 0
    this.#parts = []
    this.#sizeBytes = 0
    return whole
  }
}
