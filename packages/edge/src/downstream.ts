import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2'
import type { Readable, Writable } from 'node:stream'
import { toHttp2Headers } from './headers.ts'
import {
  type EdgeRequest,
  type EdgeResponse,
  isHttp2Request,
  isHttp2Response,
  type RawHeaders,
} from './message.ts'

/** The client's side of one request, for both versions of HTTP. */
export interface Downstream {
  /** Whether a body follows the request's head. */
  readonly hasBody: boolean
  /** The request's body. */
  readonly source: Readable
  /** The answer's body. */
  readonly sink: Writable
  readonly isHeadSent: boolean
  /** Throws when the head cannot be expressed in the client's version of HTTP. */
  sendHead(status: number, reason: string | undefined, headers: RawHeaders): void
  /** Sends the head if it was not yet sent together with the body. */
  flushHead(): void
  requestTrailers(): RawHeaders
  /** Must be called before the sink ends. */
  setTrailers(trailers: RawHeaders): void
  /** Breaks the answer so that the client cannot mistake it for complete. */
  abort(): void
  /** Called when the client has disconnected or has received the whole answer. */
  onClose(listener: () => void): void
}

export function downstreamOf(request: EdgeRequest, response: EdgeResponse): Downstream {
  return isHttp2Request(request) && isHttp2Response(response)
    ? http2Downstream(request, response)
    : http1Downstream(request as IncomingMessage, response as ServerResponse)
}

function http1Downstream(request: IncomingMessage, response: ServerResponse): Downstream {
  const { headers } = request
  let isLengthGiven = false
  return {
    hasBody: headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0,
    source: request,
    sink: response,
    get isHeadSent() {
      return response.headersSent
    },
    sendHead(status, reason, headers) {
      response.sendDate = false
      isLengthGiven = headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-length')
      response.writeHead(status, reason, headers)
    },
    flushHead: () => response.flushHeaders(),
    requestTrailers: () => request.rawTrailers,
    setTrailers(trailers) {
      const pairs: [string, string][] = []
      for (let i = 0; i < trailers.length; i += 2)
        pairs.push([trailers[i] as string, trailers[i + 1] as string])
      response.addTrailers(pairs)
    },
    abort() {
      const { socket } = request
      // A FIN would look like the end of a body that only the connection's end delimits.
      const endsByClose = response.headersSent && !response.chunkedEncoding && !isLengthGiven
      if (endsByClose && !(socket as { encrypted?: boolean }).encrypted) socket.resetAndDestroy()
      else socket.destroy()
    },
    onClose: (listener) => void response.once('close', listener),
  }
}

function http2Downstream(request: Http2ServerRequest, response: Http2ServerResponse): Downstream {
  const stream: ServerHttp2Stream = response.stream
  stream.on('error', () => {})
  return {
    hasBody: !stream.endAfterHeaders,
    source: stream,
    sink: stream,
    get isHeadSent() {
      return stream.headersSent
    },
    sendHead(status, _reason, raw) {
      const headers = toHttp2Headers(raw)
      // The compatibility layer sends what setTrailers gives it.
      const waitForTrailers = headers.trailer !== undefined
      stream.respond({ ':status': status, ...headers }, { waitForTrailers, sendDate: false } as object)
    },
    // Frames are sent at the end of every turn.
    flushHead() {},
    requestTrailers: () => request.rawTrailers,
    setTrailers(raw) {
      response.addTrailers(toHttp2Headers(raw))
    },
    // `close` would send an end of the body ahead of the reset.
    abort: () => void stream.destroy(new Error('the sandbox broke the connection')),
    onClose: (listener) => void stream.once('close', listener),
  }
}
