import type { IncomingMessage } from 'node:http'
import { Transform, type TransformCallback } from 'node:stream'
import type { Crossing } from './crossing.ts'

const ENVELOPE_BYTES = 5
const END_OF_STREAM = 0x02
/** envd sends 64 KiB of output at most in one message, which Base64 makes 87 KiB. */
const MAX_HELD_BYTES = 256 * 1024
/** A guest may send a message byte by byte, and each piece costs more than its bytes. */
const MAX_HELD_PIECES = 256

export interface StreamError {
  /** A code of Connect, by which clients choose their error class (wire spec 4.4). */
  code: 'unavailable' | 'aborted'
  message: string
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
 * Passes messages of the Connect protocol on (https://connectrpc.com/docs/protocol), whole ones only: when the sandbox
 * goes in the middle of one, the stream can still end with an error that clients understand. Many, such as Python's
 * between 2.7 and 2.20, tell nothing of a connection that breaks but what their HTTP library says.
 */
export class ConnectMessages extends Transform {
  /** Of the message that begins next, as far as it has come. */
  readonly #envelope = Buffer.alloc(ENVELOPE_BYTES)
  #envelopeFilled = 0
  #payloadLeft = 0
  #held: Buffer[] = []
  #heldBytes = 0
  /** The client has no half message. */
  #isWhole = true
  /** The client has the last message. */
  #isEnded = false
  /** What still comes from the sandbox is dropped. */
  #isCutShort = false

  /**
   * Ends the stream with an error in place of what would have followed.
   * @returns false when the client has half of a message that was too long to be held: only a broken connection is right then
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

  #hold(piece: Buffer): void {
    this.#held.push(piece)
    this.#heldBytes += piece.length
    if (this.#isWhole && this.#heldBytes <= MAX_HELD_BYTES && this.#held.length <= MAX_HELD_PIECES) return
    this.#release()
    this.#isWhole = false
  }

  #release(): void {
    for (const piece of this.#held) this.push(piece)
    this.#held = []
    this.#heldBytes = 0
  }

  /** @returns how many bytes of the chunk belong to messages that end in it */
  #endOfLastMessage(chunk: Buffer): number {
    let endsAt = 0
    let at = 0
    while (at < chunk.length) {
      if (this.#envelopeFilled < ENVELOPE_BYTES) {
        const copied = chunk.copy(this.#envelope, this.#envelopeFilled, at)
        at += copied
        this.#envelopeFilled += copied
        if (this.#envelopeFilled < ENVELOPE_BYTES) break
        this.#payloadLeft = this.#envelope.readUInt32BE(1)
      }
      const taken = Math.min(this.#payloadLeft, chunk.length - at)
      at += taken
      this.#payloadLeft -= taken
      if (this.#payloadLeft > 0) break
      this.#envelopeFilled = 0
      endsAt = at
      if ((this.#envelope[0]! & END_OF_STREAM) !== 0) this.#isEnded = true
    }
    return endsAt
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
