import type { OnReadOpts, Socket } from 'node:net'

/** Kept by every connection, also by those that are idle. */
const MIN_BYTES = 16 * 1024
/** More does not make transfers faster. */
const MAX_BYTES = 256 * 1024
/** What all buffers together may have beyond their minimum. Those that come later stay small, and read more often. */
const MAX_GROWN_BYTES = 64 * 1024 * 1024

let grownBytes = 0

/**
 * Reads a socket into a buffer that is used again, which is several times faster than a stream of new buffers. The buffer
 * grows while reads fill it. For sockets that are made with `onread`: nothing else can read them.
 */
export class Receiver {
  /** A socket has been made with this receiver. */
  isUsed = false
  #buffer = Buffer.allocUnsafeSlow(MIN_BYTES)
  #nextBytes = MIN_BYTES
  /** What came before there was a destination. */
  #early: Buffer | undefined
  #destination: Socket | undefined
  #source: Socket | undefined

  /** Returns the option for making a socket. Several may be made, as long as all but one are destroyed when one connects. */
  onread(): OnReadOpts {
    this.isUsed = true
    return { buffer: () => this.#next(), callback: (length) => this.#take(length) }
  }

  /** Writes everything that comes from `source` to `destination`, and ends it when `source` ends. */
  pass(source: Socket, destination: Socket): void {
    this.#source = source
    this.#destination = destination
    if (this.#early && this.#write(this.#early)) source.resume()
    this.#early = undefined
    if (source.readableEnded) destination.end()
    else source.once('end', () => destination.end())
    source.once('close', () => this.#resize(MIN_BYTES))
  }

  #next(): Buffer {
    if (this.#nextBytes !== this.#buffer.length) this.#buffer = Buffer.allocUnsafeSlow(this.#nextBytes)
    return this.#buffer
  }

  /** Returns whether to go on reading: the buffer must not change while the kernel has not taken it. */
  #take(length: number): boolean {
    const bytes = this.#buffer.subarray(0, length)
    if (!this.#destination) {
      this.#early = bytes
      return false
    }
    if (length === this.#buffer.length) this.#resize(Math.min(MAX_BYTES, length * 4))
    else if (length < this.#buffer.length / 4) this.#resize(MIN_BYTES)
    return this.#write(bytes)
  }

  #resize(sizeBytes: number): void {
    const grown = grownBytes + sizeBytes - this.#nextBytes
    if (sizeBytes > this.#nextBytes && grown > MAX_GROWN_BYTES) return
    grownBytes = grown
    this.#nextBytes = sizeBytes
  }

  #write(bytes: Buffer): boolean {
    const destination = this.#destination!
    if (destination.destroyed) return false
    let isTaken = false
    let isWaiting = false
    destination.write(bytes, () => {
      isTaken = true
      if (isWaiting) this.#source!.resume()
    })
    // what the kernel takes at once is gone when `write` returns, before the callback
    if (destination.writableLength === 0) return true
    isWaiting = !isTaken
    return false
  }
}
