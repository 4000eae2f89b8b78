import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import { sendTrailers, toHttp2Headers } from './headers.ts'
import type { AnswerListener, RawHeaders, UpstreamHead, UpstreamRequest } from './message.ts'
import { MAX_INTERIM_ANSWERS, StaleConnectionError } from './upstream1.ts'

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants

/** Begins a request in HTTP/2. @throws node:http2's error when HTTP/2 cannot carry the head */
export function sendHttp2(
  session: ClientHttp2Session,
  head: UpstreamHead,
  listener: AnswerListener,
): UpstreamRequest {
  const stream = session.request(
    {
      ...toHttp2Headers(head.headers),
      ':method': head.method,
      ':path': head.path,
      ':scheme': 'https',
      ':authority': head.authority,
    },
    { endStream: !head.hasBody, waitForTrailers: head.hasBody },
  )
  let trailersOut: RawHeaders = []
  stream.on('wantTrailers', () => sendTrailers(stream, trailersOut))
  const answer = new Http2Answer(stream, listener)
  return {
    sink: stream,
    setTrailers: (trailers) => {
      trailersOut = trailers
    },
    end: () => {
      if (head.hasBody) stream.end()
    },
    // Frames are sent at the end of every turn.
    flushHead: () => {},
    abort: () => answer.abort(),
  }
}

class Http2Answer {
  readonly #stream: ClientHttp2Stream
  readonly #listener: AnswerListener
  #isOver = false
  #trailers: RawHeaders = []
  #interim = 0

  constructor(stream: ClientHttp2Stream, listener: AnswerListener) {
    this.#stream = stream
    this.#listener = listener
    stream.on('headers', (headers, _flags, raw: RawHeaders) => {
      if (++this.#interim > MAX_INTERIM_ANSWERS)
        this.#fail(new Error('the server sends interim answers without end'))
      else if (!this.#isOver) listener.interim(Number(headers[':status']), withoutPseudo(raw))
    })
    stream.once('response', (headers, flags, raw: RawHeaders) => {
      if (this.#isOver) return
      const endsHere = (flags & NGHTTP2_FLAG_END_STREAM) !== 0
      listener.head({ status: Number(headers[':status']), headers: withoutPseudo(raw), endsHere }, stream)
    })
    stream.on('trailers', (_trailers, _flags, raw: RawHeaders) => {
      this.#trailers = raw
    })
    stream.once('end', () => this.#end())
    stream.on('error', (error) => this.#fail(this.#isRefused() ? refused(error) : error))
    stream.once('close', () =>
      this.#fail(this.#isRefused() ? refused() : new Error('the server closed the stream amid its answer')),
    )
  }

  abort(): void {
    this.#isOver = true
    this.#stream.close(NGHTTP2_CANCEL)
  }

  /** Node ends the readable side of a stream that was reset, too. */
  #end(): void {
    const { rstCode, aborted } = this.#stream
    if (this.#isOver || aborted || (rstCode !== undefined && rstCode !== NGHTTP2_NO_ERROR)) return
    this.#isOver = true
    this.#listener.complete(this.#trailers)
  }

  #isRefused = (): boolean => this.#stream.rstCode === NGHTTP2_REFUSED_STREAM

  #fail(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stream.close(NGHTTP2_CANCEL)
    this.#listener.failed(error)
  }
}

const refused = (cause?: Error): StaleConnectionError =>
  new StaleConnectionError('the server did not process the request', { cause })

/** Drops pseudo-headers such as `:status`. */
function withoutPseudo(raw: RawHeaders): RawHeaders {
  const headers: RawHeaders = []
  for (let i = 0; i < raw.length; i += 2) if (!raw[i]!.startsWith(':')) headers.push(raw[i]!, raw[i + 1]!)
  return headers
}
