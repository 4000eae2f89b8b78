const ENVELOPE_BYTES = 5
const COMPRESSED = 0x01
const END_OF_STREAM = 0x02
/** envd sends at most 64 KiB of output in one message: 87 KiB in Base64. */
export const MAX_MESSAGE_BYTES = 256 * 1024
const MAX_DEPTH = 16

/** Error for an answer of a guest that violates the protocol. */
export class MalformedAnswer extends Error {}

export interface ConnectMessage {
  /** Parsed JSON of a guest, which must be validated before use. */
  value: unknown
  /** Whether this is the last message of a stream, which contains the error of the call or nothing. */
  isEnd: boolean
}

/** Encodes one message of the Connect protocol for a streaming call (https://connectrpc.com/docs/protocol). */
export function toFrame(message: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(message))
  const frame = Buffer.allocUnsafe(ENVELOPE_BYTES + json.length)
  frame.writeUInt8(0, 0)
  frame.writeUInt32BE(json.length, 1)
  json.copy(frame, ENVELOPE_BYTES)
  return frame
}

/** Cuts a stream of bytes into messages. Buffers one message at most, however small the pieces are. */
export class FrameReader {
  readonly #envelope = Buffer.alloc(ENVELOPE_BYTES)
  #target: Buffer = this.#envelope
  #filledBytes = 0

  /** @throws MalformedAnswer when the last message is incomplete */
  end(): void {
    if (this.#filledBytes > 0 || this.#target !== this.#envelope)
      throw new MalformedAnswer('its answer ends in the middle of a message')
  }

  /** @throws MalformedAnswer */
  *push(chunk: Buffer): Generator<ConnectMessage> {
    let at = 0
    while (at < chunk.length) {
      const copied = chunk.copy(this.#target, this.#filledBytes, at)
      at += copied
      this.#filledBytes += copied
      if (this.#filledBytes < this.#target.length) return
      const message = this.#next()
      if (message) yield message
    }
  }

  #next(): ConnectMessage | undefined {
    this.#filledBytes = 0
    if (this.#target !== this.#envelope) return this.#finish(this.#target)
    if ((this.#envelope[0]! & COMPRESSED) !== 0)
      throw new MalformedAnswer('it sent a compressed message without being asked to')
    const sizeBytes = this.#envelope.readUInt32BE(1)
    if (sizeBytes > MAX_MESSAGE_BYTES)
      throw new MalformedAnswer(`it sent a message of ${sizeBytes} bytes; ${MAX_MESSAGE_BYTES} are allowed`)
    if (sizeBytes === 0) return this.#finish(Buffer.from('{}'))
    this.#target = Buffer.allocUnsafe(sizeBytes)
    return undefined
  }

  #finish(payload: Buffer): ConnectMessage {
    this.#target = this.#envelope
    return { value: parseShallow(payload.toString()), isEnd: (this.#envelope[0]! & END_OF_STREAM) !== 0 }
  }
}

/** @throws MalformedAnswer when the text is not JSON, or nested more than 16 deep */
export function parseShallow(text: string): unknown {
  if (depthOf(text) > MAX_DEPTH) throw new MalformedAnswer(`it sent JSON nested more than ${MAX_DEPTH} deep`)
  try {
    return JSON.parse(text)
  } catch {
    throw new MalformedAnswer('it sent a message that is not JSON')
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Measures the nesting of JSON; skips strings, which are the largest part of a message. */
function depthOf(json: string): number {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i)
    if (code === QUOTE) i = endOfString(json, i)
    else if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth)
    else if (code === 0x7d || code === 0x5d) depth--
  }
  return deepest
}

function endOfString(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end >= 0; end = json.indexOf('"', end + 1)) {
    let backslashes = 0
    while (json.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes++
    if (backslashes % 2 === 0) return end
  }
  return json.length
}
