import type { ServerResponse } from 'node:http'
import type { OutputLine } from './output.ts'

/** Unsent output above which the kernel is stopped. Output that it had under way comes on top. */
const HIGH_WATER_BYTES = 4 * 1024 * 1024

/** Whoever makes the output, told when the reader cannot keep up. */
export interface Source {
  freeze(): void
  thaw(): void
}

/** The lines of one execution on their way to its client, as newline-delimited JSON. The head of the answer is sent with the first line, so that refusals can still have a status. */
export class OutputStream {
  /** Aborted when the client goes away before the end. */
  readonly readerGone: AbortSignal
  readonly #response: ServerResponse
  #source: Source | undefined
  #isFrozen = false

  constructor(response: ServerResponse) {
    this.#response = response
    const gone = new AbortController()
    this.readerGone = gone.signal
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(new Error('the client went away'))
    })
    response.on('drain', () => this.#thaw())
  }

  write(line: OutputLine): void {
    const response = this.#response
    if (response.destroyed) return
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write(`${jsonOf(line)}\n`)
    if (response.writableLength > HIGH_WATER_BYTES && this.#source && !this.#isFrozen) {
      this.#isFrozen = true
      this.#source.freeze()
    }
  }

  /** Runs `body` while `source` is held back to the reader's pace. */
  async pacing<T>(source: Source, body: () => Promise<T>): Promise<T> {
    this.#source = source
    try {
      return await body()
    } finally {
      this.#thaw()
      this.#source = undefined
    }
  }

  end(): void {
    if (this.#response.destroyed) return
    if (!this.#response.headersSent) this.#response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    this.#response.end()
  }

  #thaw(): void {
    if (!this.#isFrozen) return
    this.#isFrozen = false
    this.#source?.thaw()
  }
}

/**
 * JSON that every client reads as one line: httpx ends lines where Unicode does, too. Halves of surrogate pairs are
 * replaced: a client that prints such text, or writes it to a file, fails far from here.
 */
export function jsonOf(line: OutputLine): string {
  let json = JSON.stringify(line)
  if (json.includes('\\ud')) {
    json = JSON.stringify(line, (_, value) => (typeof value === 'string' ? value.toWellFormed() : value))
  }
  return json.replace(/[\x85\u2028\u2029]/g, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
