import type { Socket } from 'node:net'
import type { Progress } from './socket-reader.ts'

/** More does not make records of TLS larger, or writes fewer. */
const MAX_COLLECTED_BYTES = 128 * 1024
/**
 * So many are written as one: each piece that waits takes some 300 bytes beside its own, and chunks of one byte would take
 * megabytes for each connection whose server does not read.
 */
const MAX_PIECES = 256

/**
 * Writes to a socket what another one receives. What comes in one turn of the event loop is written at once, without a copy
 * where it lies in one piece of memory.
 */
export class Outlet {
  readonly #socket: Socket
  readonly #progress: Progress
  /** What is written at the end of this turn. */
  #collected: Buffer[] = []
  #collectedBytes = 0
  #openWrites = 0
  #onAllSent: (() => void) | undefined

  /** @param progress of the reader from which the bytes come: it may use its buffer again for those that were sent */
  constructor(socket: Socket, progress: Progress) {
    this.#socket = socket
    this.#progress = progress
  }

  get isFull(): boolean {
    return this.#socket.writableNeedDrain
  }

  /** Whether the kernel, or TLS, has taken everything. */
  get isAllSent(): boolean {
    return this.#collectedBytes === 0 && this.#openWrites === 0
  }

  /** What is not sent yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength + this.#collectedBytes
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
    this.#progress.passedBytes += bytes.length
    if (this.#collectedBytes >= MAX_COLLECTED_BYTES || this.#collected.length >= MAX_PIECES) this.send()
  }

  /** Writes what was collected. */
  send(): void {
    if (this.#collectedBytes === 0) return
    const isInPieces = this.#collected.length >= MAX_PIECES
    const collected = isInPieces ? [Buffer.concat(this.#collected)] : this.#collected
    this.#collected = []
    this.#collectedBytes = 0
    const socket = this.#socket
    if (!socket.writable) return
    const { passedBytes } = this.#progress
    const last = collected.pop()!
    this.#openWrites++
    socket.cork()
    for (const bytes of collected) socket.write(bytes)
    socket.write(last, () => this.#onSent(passedBytes))
    socket.uncork()
  }

  /** Writes what was collected. Calls back when everything is sent; never, if the socket is closed before. */
  finish(onAllSent: () => void): void {
    this.send()
    if (this.isAllSent) onAllSent()
    else this.#onAllSent = onAllSent
  }

  #onSent(passedBytes: number): void {
    this.#progress.sentBytes = passedBytes
    this.#openWrites--
    if (this.isAllSent) this.#onAllSent?.()
  }
}
