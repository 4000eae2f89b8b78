import type { TLSSocket } from 'node:tls'

/** One direction of a connection: frames that pass, and frames of the proxy itself between them. */
export class Outlet {
  readonly #socket: TLSSocket
  /** Whether the last byte that passed was amid a frame. */
  readonly #isAmidFrame: () => boolean
  #waiting: Buffer[] = []
  #waitingBytes = 0

  constructor(socket: TLSSocket, isAmidFrame: () => boolean) {
    this.#socket = socket
    this.#isAmidFrame = isAmidFrame
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** What is not sent yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength + this.#waitingBytes
  }

  pass(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes)
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

  /** Sends what waits. Must be called when frames may have ended. */
  flush(): void {
    if (this.#waitingBytes === 0 || this.#isAmidFrame()) return
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const frame of waiting) this.pass(frame)
  }
}
