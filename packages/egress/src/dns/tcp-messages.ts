/** DNS over TCP: each message has its length in front (RFC 1035, 4.2.2). */
export function withLength(message: Buffer): Buffer {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

/** Cuts a stream into messages. Holds one message at most, and what came with its last bytes. */
export class MessageReader {
  #bytes: Buffer = Buffer.alloc(0)
  readonly #maxBytes: number
  readonly #onMessage: (message: Buffer) => void

  /** @param maxBytes longer messages are refused */
  constructor(maxBytes: number, onMessage: (message: Buffer) => void) {
    this.#maxBytes = maxBytes
    this.#onMessage = onMessage
  }

  /** Returns false when a message is too long: then the connection cannot go on. */
  add(chunk: Buffer): boolean {
    let bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    while (bytes.length >= 2) {
      const length = bytes.readUInt16BE(0)
      if (length > this.#maxBytes) return false
      if (bytes.length < 2 + length) break
      this.#onMessage(bytes.subarray(2, 2 + length))
      bytes = bytes.subarray(2 + length)
    }
    this.#bytes = Buffer.from(bytes)
    return true
  }
}
