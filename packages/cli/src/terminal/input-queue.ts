/** Default for the maximum number of bytes of one request. */
const BATCH_BYTES = 64 * 1024

interface Source {
  pause(): unknown
  resume(): unknown
}

/**
 * Sends keys in order, one request at a time. Keys typed during a request go with the next one, so that fast typing takes
 * few requests and a single key does not wait. The source is paused while more than one request's worth is pending.
 */
export class InputQueue {
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #sending: Promise<void> | undefined
  #isClosed = false
  readonly #source: Source
  readonly #send: (data: Uint8Array) => Promise<void>
  readonly #batchBytes: number

  /** @param batchBytes maximum number of bytes of one request. Default: 64 KiB. */
  constructor(source: Source, send: (data: Uint8Array) => Promise<void>, batchBytes = BATCH_BYTES) {
    this.#source = source
    this.#send = send
    this.#batchBytes = batchBytes
  }

  push(data: Buffer): void {
    if (this.#isClosed) return
    this.#waiting.push(data)
    this.#waitingBytes += data.length
    if (this.#waitingBytes > this.#batchBytes) this.#source.pause()
    this.#sending ??= this.#drain()
  }

  /** Resolves when all pushed input has been sent. */
  async settled(): Promise<void> {
    await this.#sending
  }

  /** Drops pending input. */
  close(): void {
    this.#isClosed = true
    this.#waiting = []
    this.#waitingBytes = 0
  }

  async #drain(): Promise<void> {
    while (this.#waitingBytes > 0) {
      const all = Buffer.concat(this.#waiting)
      const batch = all.subarray(0, this.#batchBytes)
      const rest = all.subarray(this.#batchBytes)
      this.#waiting = rest.length > 0 ? [rest] : []
      this.#waitingBytes = rest.length
      await this.#send(batch)
      if (this.#waitingBytes <= this.#batchBytes && !this.#isClosed) this.#source.resume()
    }
    this.#sending = undefined
  }
}
