import type { TLSSocket } from 'node:tls'
import { ControlFrames } from './control-frames.ts'
import { type FrameHandler, FrameReader, type Treatment } from './frame-reader.ts'
import {
  ConnectionError,
  ErrorCode,
  frame as encodeFrame,
  Flag,
  type Frame,
  FrameType,
  windowUpdateFrame,
} from './frames.ts'
import { HeaderBlock } from './header-block.ts'
import { HpackDecoder, HpackError } from './hpack.ts'
import { FrameOutlet } from './outlet.ts'
import { MAX_SETTINGS_BYTES } from './settings.ts'
import type { RelayStream } from './streams.ts'

const MAX_GOAWAY_BYTES = 16_384
/** Dropped data is given back to its sender's window in portions of this size. */
const WINDOW_PORTION_BYTES = 16_384

/** What both sides of a relay do with frames: reads those of one socket, and writes to the other. */
export abstract class Side implements FrameHandler {
  readonly socket: TLSSocket
  readonly control = new ControlFrames()
  readonly reader = new FrameReader(this)
  /** Carries frames away from this side. */
  readonly forward: FrameOutlet
  readonly #block = new HeaderBlock()
  readonly #decoder = new HpackDecoder()
  #droppedBytes = 0
  /** The settings that must come first have come. */
  protected isOpened = false

  constructor(socket: TLSSocket, other: TLSSocket) {
    this.socket = socket
    this.forward = new FrameOutlet(other, () => !this.isOpened || this.reader.isAmidPassed)
  }

  begin(frame: Frame): Treatment {
    if (!this.isOpened && frame.type !== FrameType.SETTINGS)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the connection does not begin with settings')
    this.#block.check(frame)
    switch (frame.type) {
      case FrameType.DATA:
        return this.#beginData(frame)
      case FrameType.HEADERS:
        this.#checkStream(frame)
        this.onMessage()
        return 'read'
      case FrameType.CONTINUATION:
        return 'read'
      case FrameType.RST_STREAM:
        sizeMustBe(frame, 4)
        this.#checkStream(frame)
        this.control.count()
        return this.stream(frame.stream) ? 'read' : 'drop'
      case FrameType.WINDOW_UPDATE:
        sizeMustBe(frame, 4)
        if (frame.stream === 0) return this.treatConnectionWindow()
        this.#checkStream(frame)
        return this.stream(frame.stream) ? 'pass' : 'drop'
      case FrameType.SETTINGS:
        this.control.count()
        if (frame.length > MAX_SETTINGS_BYTES || frame.stream !== 0)
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'settings are not as they must be')
        return 'read'
      case FrameType.PING:
        sizeMustBe(frame, 8)
        this.control.count()
        return 'pass'
      case FrameType.GOAWAY:
        this.control.count()
        if (frame.length > MAX_GOAWAY_BYTES)
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a farewell is too long')
        return 'read'
      case FrameType.PUSH_PROMISE:
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'pushes were not asked for')
      default:
        // priorities have no use any more, and what is unknown may be ignored (RFC 9113, 5.3 and 4.1)
        this.control.count()
        return 'drop'
    }
  }

  pass(bytes: Buffer): void {
    this.forward.pass(bytes)
  }

  read(frame: Frame, payload: Buffer): void {
    switch (frame.type) {
      case FrameType.RST_STREAM: {
        // the other side may have ended it since the frame began
        const stream = this.stream(frame.stream)
        if (stream) this.onReset(stream, payload.readUInt32BE(0))
        return
      }
      case FrameType.SETTINGS:
        this.isOpened = true
        if ((frame.flags & Flag.ACK) !== 0) this.onAcknowledged()
        else this.onSettings(payload)
        return
      case FrameType.GOAWAY:
        if (payload.length < 8)
          throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, 'a farewell is too short')
        this.onGoAway(payload.readUInt32BE(0) & 0x7fffffff)
        this.forward.insert(encodeFrame(FrameType.GOAWAY, 0, 0, payload))
        return
      case FrameType.WINDOW_UPDATE:
        this.onConnectionWindow(payload.readUInt32BE(0) & 0x7fffffff)
        return
    }
    const whole = this.#block.add(frame, payload)
    if (whole) this.onHeaders(whole.stream, this.#decode(whole.block), whole.isEnd, whole.block)
  }

  /** A frame carries a part of a message. */
  protected abstract onMessage(): void
  protected abstract stream(id: number): RelayStream | undefined
  /** Largest stream that has been opened. */
  protected abstract get lastStream(): number
  /** Sends a frame of the proxy to this side. */
  protected abstract answer(frame: Buffer): void
  /** Accounts for data of an open stream. @throws ConnectionError */
  protected abstract onData(stream: RelayStream, sizeBytes: number, isEnd: boolean): void
  protected abstract onHeaders(id: number, headers: string[], isEnd: boolean, block: Buffer): void
  protected abstract onReset(stream: RelayStream, code: number): void
  protected abstract onSettings(payload: Buffer): void
  protected abstract onAcknowledged(): void
  protected abstract onGoAway(lastStream: number): void
  protected abstract treatConnectionWindow(): Treatment
  protected abstract onConnectionWindow(sizeBytes: number): void
  /** Whether this side may open a stream. */
  protected abstract mayOpen(id: number): boolean

  #beginData(frame: Frame): Treatment {
    this.#checkStream(frame)
    const isEnd = (frame.flags & Flag.END_STREAM) !== 0
    if (frame.length === 0 && !isEnd) this.control.count()
    else this.onMessage()
    const stream = this.stream(frame.stream)
    if (stream) {
      this.onData(stream, frame.length - frame.padding, isEnd)
      return 'pass'
    }
    this.#droppedBytes += frame.length
    if (this.#droppedBytes >= WINDOW_PORTION_BYTES) {
      this.answer(windowUpdateFrame(0, this.#droppedBytes))
      this.#droppedBytes = 0
    }
    return 'drop'
  }

  /** A frame for a stream that ended is late; one for a stream that never was is wrong. */
  #checkStream({ type, stream }: Frame): void {
    if (stream !== 0 && stream <= this.lastStream) return
    if (type === FrameType.HEADERS && this.mayOpen(stream)) return
    throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, `there is no stream ${stream}`)
  }

  #decode(block: Buffer): string[] {
    try {
      return this.#decoder.decode(block)
    } catch (error) {
      if (!(error instanceof HpackError)) throw error
      throw new ConnectionError(ErrorCode.COMPRESSION_ERROR, error.message, { cause: error })
    }
  }
}

function sizeMustBe({ length }: Frame, sizeBytes: number): void {
  if (length !== sizeBytes)
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, `a frame has ${length} bytes, not ${sizeBytes}`)
}
