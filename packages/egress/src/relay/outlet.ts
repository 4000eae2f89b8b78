import type { TLSSocket } from 'node:tls'

/** More does not make records of TLS larger, or writes fewer. */
const MAX_COLLECTED_BYTES = 128 * 1024

/**
 * One direction of a connection: frames that pass, and frames of the proxy itself between them. What comes in one turn of
 * the event loop is written at once, without a copy where it lies in one piece of memory.
 */
export class Outlet {
  readonly #socket: TLSSocket
  /** Whether the last byte that passed was amid a frame. */
  readonly #isAmidFrame: () => boolean
  /** Frames that wait for the end of the frame that passes. */
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** What is written at the end of this turn. */
  #collected: Buffer[] = []
  #collectedBytes = 0
  /** In all. */
  passedBytes = 0
  /** In all, of what has passed. */
  sentBytes = 0

  constructor(socket: TLSSocket, isAmidFrame: () => boolean) {
    this.#socket = socket
    this.#isAmidFrame = isAmidFrame
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** Of frames that wait for the end of the frame that passes. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** What is not sent yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength + this.#waitingBytes + this.#collectedBytes
  }

  pass(bytes: Buffer): void {
    if (this.#collectedBytes === 0) setImmediate(() => this.send())
    const last = this.#collected.at(-1)
    if (last && last.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset)
      this.#collected[this.#collected.length - 1] = Buffer.from(
        last.buffer,
        last.byteOffset,
        last.length + bytes.length,
      )
    else this.#collected.push(bytes)
    this.#collectedBytes += bytes.length
    this.passedBytes += bytes.length
    if (this.#collectedBytes >= MAX_COLLECTED_BYTES) this.send()
  }

  /** Sends a frame after the frame that passes now. */
  insert(frame: Buffer): void {
    if (!this.#isAmidFrame()) {
      this.flush()
      this.pass(frame)
      return
    }
    this.#waiting.push(frame)
    this.#waitingBytes += frame.length
  }

  /** Passes on what waits. Must be called when frames may have ended. */
  flush(): void {
    if (this.#waitingBytes === 0 || this.#isAmidFrame()) return
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const frame of waiting) this.pass(frame)
  }

  /** Writes what was collected. */
  send(): void {
    if (this.#collectedBytes === 0) return
    const collected = this.#collected
    this.#collected = []
    this.#collectedBytes = 0
    const socket = this.#socket
    if (!socket.writable) return
    const { passedBytes } = this
    const onSent = () => {
      this.sentBytes = passedBytes
    }
    const last = collected.pop()!
    socket.cork()
    for (const bytes of collected) socket.write(bytes)
    socket.write(last, onSent)
    socket.uncork()
  }
}
