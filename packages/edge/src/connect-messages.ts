import type { IncomingMessage } from 'node:http'
import { Transform, type TransformCallback } from 'node:stream'
import type { Crossing } from './crossing.ts'

const ENVELOPE_BYTES = 5
const END_OF_STREAM = 0x02
/** envd sends at most 64 KiB of output in one message, which is 87 KiB in Base64. */
const MAX_HELD_BYTES = 256 * 1024
/** A guest may send a message byte by byte, and each piece takes more memory than its bytes. */
const PIECE_BYTES = 1024
/** Limit for one sandbox, which may have a thousand streams and stop each in the middle of a message. */
const MAX_HELD_OF_SANDBOX_BYTES = 4 * 1024 * 1024

export interface StreamError {
  /** Connect error code, from which clients choose their error class (wire spec 4.4). */
  code: 'unavailable' | 'aborted'
  message: string
}

/** Total bytes that all streams of one sandbox hold back. */
export interface Holding {
  bytes: number
}

/** Whether the body of an answer is a stream of messages of the Connect protocol, and from envd. */
export function carriesConnectMessages(
  { headers, statusCode }: IncomingMessage,
  crossing: Crossing,
): boolean {
  return (
    crossing.isEnvd &&
    statusCode === 200 &&
    headers['content-type']?.startsWith('application/connect+') === true &&
    headers['content-length'] === undefined &&
    headers['content-encoding'] === undefined
  )
}

/**
 * Forwards only complete messages of the Connect protocol (https://connectrpc.com/docs/protocol). When the sandbox
 * ends in the middle of a message, the stream can still end with an error that clients understand. Many clients, such
 * as Python's 2.7 to 2.20, report a broken connection only with the message of their HTTP library.
 */
export class ConnectMessages extends Transform {
  /** Bytes of the message that is being received. */
  readonly #envelope = Buffer.alloc(ENVELOPE_BYTES)
  readonly #ofSandbox: Holding
  #envelopeFilled = 0
  #flags = 0
  #payloadLeft = 0
  #held: Buffer[] = []
  #heldBytes = 0
  /** Whether no message has been sent to the client partially. */
  #isWhole = true
  /** Whether the last message has been sent to the client. */
  #isEnded = false
  /** Whether everything that still arrives from the sandbox is dropped. */
  #isCutShort = false

  constructor(ofSandbox: Holding) {
    super()
    this.#ofSandbox = ofSandbox
  }

  /**
   * Ends the stream with an error instead of the remaining messages.
   * @returns false when part of a message was already sent, as the message was too long to hold back: the caller must break the connection
   */
  endWith(error: StreamError): boolean {
    if (!this.#isWhole || this.destroyed || this.writableEnded) return false
    this.#isCutShort = true
    if (!this.#isEnded) this.push(lastMessage(error))
    this.push(null)
    return true
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    if (this.#isCutShort) {
      done()
      return
    }
    const endsAt = this.#endOfLastMessage(chunk)
    if (endsAt > 0) {
      this.#release()
      this.push(chunk.subarray(0, endsAt))
      this.#isWhole = true
    }
    if (endsAt < chunk.length) this.#hold(chunk.subarray(endsAt))
    done()
  }

  override _flush(done: TransformCallback): void {
    if (!this.#isCutShort) this.#release()
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#forget()
    done(error)
  }

  #hold(piece: Buffer): void {
    const bytes = piece.length + PIECE_BYTES
    this.#held.push(piece)
    this.#heldBytes += bytes
    this.#ofSandbox.bytes += bytes
    const isTooMuch = this.#heldBytes > MAX_HELD_BYTES || this.#ofSandbox.bytes > MAX_HELD_OF_SANDBOX_BYTES
    if (this.#isWhole && !isTooMuch) return
    this.#release()
    this.#isWhole = false
  }

  #release(): void {
    for (const piece of this.#held) this.push(piece)
    this.#forget()
  }

  #forget(): void {
    this.#ofSandbox.bytes -= this.#heldBytes
    this.#held = []
    this.#heldBytes = 0
  }

  /** @returns how many bytes of the chunk belong to messages that end in it */
  #endOfLastMessage(chunk: Buffer): number {
    let endsAt = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#envelopeFilled < ENVELOPE_BYTES) {
        at += this.#readEnvelope(chunk, at)
        if (this.#envelopeFilled < ENVELOPE_BYTES) break
      }
      const taken = Math.min(this.#payloadLeft, chunk.length - at)
      at += taken
      this.#payloadLeft -= taken
      if (this.#payloadLeft > 0) break
      this.#envelopeFilled = 0
      endsAt = at
      if ((this.#flags & END_OF_STREAM) !== 0) this.#isEnded = true
    }
    return endsAt
  }

  /** @returns how many bytes were read. Must be quick: a guest may send nothing but envelopes, and all clients wait meanwhile. */
  #readEnvelope(chunk: Buffer, at: number): number {
    if (this.#envelopeFilled === 0 && chunk.length - at >= ENVELOPE_BYTES) {
      this.#begin(chunk, at)
      return ENVELOPE_BYTES
    }
    const copied = chunk.copy(this.#envelope, this.#envelopeFilled, at)
    this.#envelopeFilled += copied
    if (this.#envelopeFilled === ENVELOPE_BYTES) this.#begin(this.#envelope, 0)
    return copied
  }

  #begin(envelope: Buffer, at: number): void {
    this.#envelopeFilled = ENVELOPE_BYTES
    this.#flags = envelope[at]!
    // takes a tenth of the time of readUInt32BE
    this.#payloadLeft =
      ((envelope[at + 1]! << 24) |
        (envelope[at + 2]! << 16) |
        (envelope[at + 3]! << 8) |
        envelope[at + 4]!) >>>
      0
  }
}

function lastMessage(error: StreamError): Buffer {
  const json = Buffer.from(JSON.stringify({ error }))
  const message = Buffer.alloc(ENVELOPE_BYTES + json.length)
  message.writeUInt8(END_OF_STREAM, 0)
  message.writeUInt32BE(json.length, 1)
  json.copy(message, ENVELOPE_BYTES)
  return message
}
