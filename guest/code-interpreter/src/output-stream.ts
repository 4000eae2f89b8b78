import type { ServerResponse } from 'node:http'
import type { OutputLine } from './output.ts'

/** Unsent output above which the kernel is stopped; output that the kernel has already sent still adds to this. */
const HIGH_WATER_BYTES = 4 * 1024 * 1024

/** Source of the output, which is stopped when the reader cannot keep up. */
export interface Source {
  freeze(): void
  thaw(): void
}

/** Sends the lines of one execution to its client as newline-delimited JSON. The head is sent with the first line, so that refusals can have a status. */
export class OutputStream {
  /** Aborted when the client disconnects before the end. */
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

  /** Runs `body` with `source` slowed down to the reader's pace. */
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
 * JSON that all clients read as one line: httpx also ends lines at Unicode line separators. Lone surrogates are replaced, as
 * clients fail later when they print such text or write it to a file.
 */
export function jsonOf(line: OutputLine): string {
  let json = JSON.stringify(line)
  if (json.includes('\\ud')) {
    json = JSON.stringify(line, (_, value) => (typeof value === 'string' ? value.toWellFormed() : value))
  }
  return json.replace(/[\x85\u2028\u2029]/g, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
