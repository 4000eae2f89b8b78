import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Readable, Writable } from 'node:stream'
import { sendTrailers, toHttp2Headers, valuesOf } from './headers.ts'
import type { AnswerHead, Downstream, RawHeaders } from './message.ts'

/** The sandbox's side of a request in HTTP/2. */
export class Http2Downstream implements Downstream {
  readonly isHttp2 = true
  readonly method: string
  readonly target: string
  readonly authority?: string
  readonly headers: RawHeaders
  readonly hasBody: boolean
  readonly expectsContinue: boolean
  readonly source: Readable
  readonly sink: Writable
  readonly #stream: ServerHttp2Stream
  #requestTrailers: RawHeaders = []
  #trailers: RawHeaders = []

  constructor(stream: ServerHttp2Stream, headers: RawHeaders) {
    this.#stream = stream
    this.method = pseudo(headers, ':method') ?? 'GET'
    this.target = pseudo(headers, ':path') ?? ''
    this.authority = pseudo(headers, ':authority')
    this.headers = headers
    this.hasBody = !stream.endAfterHeaders
    this.expectsContinue = this.hasBody && valuesOf(headers, 'expect').join().toLowerCase() === '100-continue'
    this.source = stream
    this.sink = stream
    stream.on('error', () => {})
    stream.on('trailers', (_trailers, _flags, raw: RawHeaders = []) => {
      this.#requestTrailers = raw
    })
    stream.on('wantTrailers', () => sendTrailers(stream, this.#trailers))
  }

  get isHeadSent(): boolean {
    return this.#stream.headersSent
  }

  sendInterim(status: number, headers: RawHeaders): void {
    if (this.#stream.headersSent || this.#stream.destroyed) return
    try {
      this.#stream.additionalHeaders({ ...toHttp2Headers(headers), ':status': status })
    } catch {
      // interim answers are optional, and Node refuses some of their headers
    }
  }

  sendHead({ status, headers, endsHere }: AnswerHead): void {
    const all = { ...toHttp2Headers(headers), ':status': status }
    this.#stream.respond(all, { endStream: endsHere, waitForTrailers: !endsHere, sendDate: false } as object)
  }

  // Frames are sent at the end of every turn.
  flushHead(): void {}

  requestTrailers(): RawHeaders {
    return this.#requestTrailers
  }

  setTrailers(trailers: RawHeaders): void {
    this.#trailers = trailers
  }

  // Other requests on the connection are independent of this one.
  closeAfterwards(): void {}

  dropRest(): void {
    // After the answer was sent, the rest of the request's body is not needed (RFC 9113, 8.1).
    const stream = this.#stream
    const close = () => stream.close(constants.NGHTTP2_NO_ERROR)
    if (stream.writableFinished) close()
    else stream.once('finish', close)
  }

  abort(): void {
    // `close` would send an end of the body ahead of the reset.
    this.#stream.destroy(new Error('the answer was cut off'))
  }

  onClose(listener: () => void): void {
    this.#stream.once('close', listener)
  }
}

const pseudo = (headers: RawHeaders, name: string): string | undefined => valuesOf(headers, name)[0]
