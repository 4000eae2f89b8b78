/** Maximum number of bytes of one request, or of one message of a stream. */
const BATCH_BYTES = 64 * 1024
/** A stream ends when no input has come for this long, so that a proxy which holds requests back until their end delays it no more. */
const LINGER_MS = 1_000

/** Sends pieces with one request that lasts until they end. */
type Stream = (pieces: AsyncIterable<Uint8Array>) => Promise<void>

interface Source {
  pause(): unknown
  resume(): unknown
}

/**
 * Sends keys in order, one request at a time. Keys typed during a request go with the next one, so that fast typing takes
 * few requests and a single key does not wait. The source is paused while more than one request's worth is pending. With
 * `stream`, input that comes faster than requests carry it goes through one long request while it lasts.
 */
export class InputQueue {
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #sending: Promise<void> | undefined
  #isClosed = false
  readonly #source: Source
  readonly #send: (data: Uint8Array) => Promise<void>
  readonly #stream: Stream | undefined
  #isEnding = false
  /** Ends the wait of a stream for more input. */
  #wake = (): void => {}

  constructor(source: Source, send: (data: Uint8Array) => Promise<void>, stream?: Stream) {
    this.#source = source
    this.#send = send
    this.#stream = stream
  }

  push(data: Buffer): void {
    if (this.#isClosed) return
    this.#waiting.push(data)
    this.#waitingBytes += data.length
    if (this.#waitingBytes > BATCH_BYTES) this.#source.pause()
    this.#wake()
    this.#sending ??= this.#drain()
  }

  /** Resolves when all pushed input has been sent. Call it after the last `push`: a stream waits no longer for more. */
  async settled(): Promise<void> {
    this.#isEnding = true
    this.#wake()
    await this.#sending
  }

  /** Drops pending input. */
  close(): void {
    this.#isClosed = true
    this.#waiting = []
    this.#waitingBytes = 0
    this.#wake()
  }

  async #drain(): Promise<void> {
    while (this.#waitingBytes > 0) {
      if (this.#stream && this.#waitingBytes >= BATCH_BYTES) await this.#stream(this.#pieces())
      else await this.#send(this.#take())
      this.#resume()
    }
    this.#sending = undefined
  }

  async *#pieces(): AsyncGenerator<Uint8Array> {
    do
      while (this.#waitingBytes > 0) {
        yield this.#take()
        this.#resume()
      }
    while (await this.#hasMore())
  }

  /** Waits for more input. @returns whether there is some */
  async #hasMore(): Promise<boolean> {
    if (this.#isEnding || this.#isClosed) return false
    const timer = setTimeout(() => this.#wake(), LINGER_MS)
    await new Promise<void>((resolve) => (this.#wake = resolve))
    clearTimeout(timer)
    return this.#waitingBytes > 0
  }

  #take(): Uint8Array {
    const all = Buffer.concat(this.#waiting)
    const rest = all.subarray(BATCH_BYTES)
    this.#waiting = rest.length > 0 ? [rest] : []
    this.#waitingBytes = rest.length
    return all.subarray(0, BATCH_BYTES)
  }

  #resume(): void {
    if (this.#waitingBytes <= BATCH_BYTES && !this.#isClosed) this.#source.resume()
  }
}
