import type { Readable, Writable } from 'node:stream'

/** Headers as on the wire: name, value, name, value …, in order, with their case and repetitions. */
export type RawHeaders = string[]

/** Largest head of a request or an answer, in bytes. */
export const MAX_HEADER_BYTES = 64 * 1024

/** Methods that may be sent twice without other effects (RFC 9110, 9.2.2). */
export const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'])

/** The sandbox's side of one request, for both versions of HTTP. */
export interface Downstream {
  readonly isHttp2: boolean
  readonly method: string
  /** As sent: `/path`, `*`, or an absolute URL. */
  readonly target: string
  /** `:authority` of HTTP/2. */
  readonly authority?: string
  readonly headers: RawHeaders
  /** Whether a body follows the head. */
  readonly hasBody: boolean
  /** The client sends the body only after an interim answer 100. */
  readonly expectsContinue: boolean
  /** The request's body. */
  readonly source: Readable
  /** The answer's body. */
  readonly sink: Writable
  readonly isHeadSent: boolean
  /** Sends an interim answer; does nothing where the client's version of HTTP has none. */
  sendInterim(status: number, headers: RawHeaders): void
  /** Throws when the head cannot be expressed in the client's version of HTTP. */
  sendHead(head: AnswerHead): void
  /** Sends the head if it was not yet sent together with the body. */
  flushHead(): void
  requestTrailers(): RawHeaders
  /** Must be called before the sink ends. */
  setTrailers(trailers: RawHeaders): void
  /** The connection takes no further requests after this answer; must be called before the head. */
  closeAfterwards(): void
  /** Reads and drops the rest of the request's body after the answer, within limits of bytes and time. */
  dropRest(): void
  /** Breaks the answer so that the client cannot mistake it for complete. */
  abort(): void
  /** Called when the client has disconnected or has received the whole answer. */
  onClose(listener: () => void): void
}

export interface AnswerHead {
  status: number
  /** Reason phrase of HTTP/1.1. */
  reason?: string
  headers: RawHeaders
  /** The head is the whole answer. */
  endsHere: boolean
}

/** What becomes of a request that was sent upstream. Each method is called at most once, except `interim`. */
export interface AnswerListener {
  interim(status: number, headers: RawHeaders): void
  /** @param body ends only when the answer is complete */
  head(head: AnswerHead, body: Readable): void
  /** Called when the whole body was read. */
  complete(trailers: RawHeaders): void
  /** Called instead of `complete`: the answer cannot begin, or is cut off. */
  failed(error: Error): void
}

/** A request that was sent upstream. */
export interface UpstreamRequest {
  /** The request's body. */
  readonly sink: Writable
  /** Must be called before `end`. */
  setTrailers(trailers: RawHeaders): void
  /** Must be called once, also without a body. */
  end(): void
  /** Sends the head if it was not yet sent together with the body. */
  flushHead(): void
  /** Tells the upstream server that nobody waits any more. */
  abort(): void
}

export interface UpstreamHead {
  /** Sent in HTTP/2 if the server speaks it; servers may treat the versions differently, so the client's is kept. */
  isHttp2: boolean
  method: string
  /** `/path` or `*`. */
  path: string
  /** Value of Host and `:authority`; absent when the sandbox sent none. */
  authority?: string
  /** For HTTP/1.1, without Host. */
  headers: RawHeaders
  hasBody: boolean
}
