import type { Socket } from 'node:net'

/** Less room is not worth a read. */
const MIN_ROOM_BYTES = 4 * 1024
/** Kept by every connection, also by those that are idle. */
const MIN_BYTES = 16 * 1024
const MAX_BYTES = 256 * 1024
/** What all buffers together may have beyond their minimum. Those that come later stay small. */
const MAX_GROWN_BYTES = 64 * 1024 * 1024

let grownBytes = 0

/** How far what was received has been sent on. */
export interface Progress {
  passedBytes: number
  sentBytes: number
}

export const newProgress = (): Progress => ({ passedBytes: 0, sentBytes: 0 })

/** Properties of a socket and its handle that the option `onread` of `node:net` sets. */
interface Internals {
  [property: symbol]: unknown
  _handle?: { useUserBuffer?: (buffer: Buffer) => void } | null
}

/**
 * Reads a socket, also one of TLS, into a buffer that is used again. A stream allocates 64 KiB for each read instead, and
 * collecting that garbage takes a third of the time of a bulk transfer. The buffer grows while what was read waits to be
 * sent, and when a read fills it. Node offers this as `onread`, but only for sockets that it connects itself, so that the properties are set here
 * which the option sets; where Node does not have them, the socket is read as a stream.
 */
export class SocketReader {
  readonly #socket: Socket
  readonly #progress: Progress
  readonly #onData: (bytes: Buffer) => void
  #buffer = Buffer.allocUnsafeSlow(MIN_BYTES)
  /** Where the next bytes go. */
  #at = 0
  /** What may not be sent yet, oldest first: where it begins, and what must have been sent for it to be. */
  readonly #pending: Array<{ start: number; mark: number }> = []
  #lastBytes = 0
  #isClosed = false

  /** @param onData gets bytes that change when what they became has been sent */
  constructor(socket: Socket, onData: (bytes: Buffer) => void, progress: Progress) {
    this.#socket = socket
    this.#onData = onData
    this.#progress = progress
  }

  /** Begins to read. @returns whether the buffer is used */
  start(): boolean {
    const socket = this.#socket
    // what has arrived before was read as a stream
    for (let early: Buffer | null = socket.read(); early !== null; early = socket.read()) this.#onData(early)
    const internals = socket as unknown as Internals
    const [buffer, onBytes, next] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) =>
      Object.getOwnPropertySymbols(socket).find(({ description }) => description === name),
    )
    const handle = internals._handle
    if (!buffer || !onBytes || !next || !handle?.useUserBuffer) {
      socket.on('data', this.#onData)
      return false
    }
    internals[onBytes] = (length: number) => this.#take(length)
    internals[next] = () => this.#next(this.#lastBytes)
    const first = this.#next(0)
    internals[buffer] = first
    handle.useUserBuffer(first)
    socket.once('close', () => {
      this.#isClosed = true
      grownBytes -= this.#buffer.length - MIN_BYTES
    })
    socket.resume()
    return true
  }

  #take(length: number): boolean {
    const start = this.#at
    this.#at += length
    this.#lastBytes = length
    this.#onData(this.#buffer.subarray(start, this.#at))
    this.#pending.push({ start, mark: this.#progress.passedBytes })
    // pausing is up to `onData`
    return true
  }

  /** @param length of the last read, in bytes */
  #next(length: number): Buffer {
    const pending = this.#pending
    while (pending.length > 0 && pending[0]!.mark <= this.#progress.sentBytes) pending.shift()
    const oldest = pending[0]?.start
    if (oldest === undefined) {
      this.#at = 0
      if (length === this.#buffer.length && length < MAX_BYTES) this.#renew()
      else if (length < this.#buffer.length / 4) this.#shrink()
    } else {
      const isWrapped = this.#at <= oldest
      if (!isWrapped && this.#buffer.length - this.#at < MIN_ROOM_BYTES && oldest >= MIN_ROOM_BYTES)
        this.#at = 0
      const end = this.#at <= oldest ? oldest : this.#buffer.length
      if (end - this.#at >= MIN_ROOM_BYTES) return this.#buffer.subarray(this.#at, end)
      this.#renew()
    }
    return this.#buffer.subarray(this.#at)
  }

  /** Takes a larger buffer, if it may grow, and leaves the old one to those who still need it. */
  #renew(): void {
    const sizeBytes = Math.min(MAX_BYTES, this.#buffer.length * 2)
    const grown = grownBytes + sizeBytes - this.#buffer.length
    const mayGrow = !this.#isClosed && grown <= MAX_GROWN_BYTES
    if (mayGrow) grownBytes = grown
    else if (this.#pending.length === 0) return
    this.#buffer = Buffer.allocUnsafeSlow(mayGrow ? sizeBytes : this.#buffer.length)
    this.#at = 0
    this.#pending.length = 0
  }

  #shrink(): void {
    if (this.#isClosed || this.#buffer.length === MIN_BYTES) return
    grownBytes -= this.#buffer.length - MIN_BYTES
    this.#buffer = Buffer.allocUnsafeSlow(MIN_BYTES)
  }
}
