import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Readable, Writable } from 'node:stream'
import { pairsOf } from './headers.ts'
import type { AnswerHead, Downstream, RawHeaders } from './message.ts'

/** Some clients read an answer only after they have sent everything. */
const MAX_REST_BYTES = 64 * 1024 * 1024
const MAX_REST_MS = 60_000

/** A reason phrase that Node sends; it accepts others from servers, and throws when they are sent on. */
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/

/** The sandbox's side of a request in HTTP/1.1. */
export class Http1Downstream implements Downstream {
  readonly isHttp2 = false
  readonly method: string
  readonly target: string
  readonly headers: RawHeaders
  readonly hasBody: boolean
  readonly expectsContinue: boolean
  readonly source: Readable
  readonly sink: Writable
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  #isLengthGiven = false
  #isContinued = false

  constructor(request: IncomingMessage, response: ServerResponse, expectsContinue = false) {
    this.#request = request
    this.#response = response
    this.method = request.method ?? 'GET'
    this.target = request.url ?? '/'
    this.headers = request.rawHeaders
    this.hasBody = hasBody(request)
    this.expectsContinue = expectsContinue
    this.source = request
    this.sink = response
    response.sendDate = false
    response.on('error', () => {})
    request.on('error', () => {})
  }

  get isHeadSent(): boolean {
    return this.#response.headersSent
  }

  sendInterim(status: number, headers: RawHeaders): void {
    const response = this.#response
    if (this.#request.httpVersionMinor < 1 || response.headersSent || response.destroyed) return
    this.#isContinued ||= status === 100
    if (status === 100) response.writeContinue()
    else if (status === 102) response.writeProcessing()
    else if (status === 103) sendEarlyHints(response, headers)
  }

  sendHead({ status, reason, headers, endsHere }: AnswerHead): void {
    const response = this.#response
    this.#isLengthGiven = headers.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-length')
    // Node keeps headers that were set before only when the new ones are added to them
    const closing = response.shouldKeepAlive ? [] : ['Connection', 'close']
    if (reason === undefined || !REASON.test(reason)) response.writeHead(status, [...headers, ...closing])
    else response.writeHead(status, reason, [...headers, ...closing])
    if (endsHere) response.end()
  }

  flushHead(): void {
    this.#response.flushHeaders()
  }

  requestTrailers(): RawHeaders {
    return this.#request.rawTrailers
  }

  setTrailers(trailers: RawHeaders): void {
    this.#response.addTrailers(pairsOf(trailers))
  }

  closeAfterwards(): void {
    const request = this.#request
    const response = this.#response
    const isBodyDue = this.hasBody && !request.complete && !(this.expectsContinue && !this.#isContinued)
    // A connection that is closed while its client still sends is reset, and the client may lose the answer.
    if (isBodyDue) {
      response.once('finish', () => {
        this.dropRest()
        request.once('end', () => request.socket.end())
      })
    } else response.shouldKeepAlive = false
  }

  dropRest(): void {
    const { socket } = this.#request
    const firstByte = socket.bytesRead
    this.#request.on('data', () => {
      if (socket.bytesRead - firstByte > MAX_REST_BYTES) socket.destroy()
    })
    const timer = setTimeout(() => socket.destroy(), MAX_REST_MS)
    const stop = () => clearTimeout(timer)
    this.#request.once('end', stop)
    socket.once('close', stop)
  }

  abort(): void {
    const { socket } = this.#request
    const response = this.#response
    // A FIN would look like the end of a body that only the end of the connection delimits.
    const endsByClose = response.headersSent && !response.chunkedEncoding && !this.#isLengthGiven
    if (endsByClose && !(socket as { encrypted?: boolean }).encrypted) socket.resetAndDestroy()
    else socket.destroy()
  }

  onClose(listener: () => void): void {
    this.#response.once('close', listener)
  }
}

export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

function sendEarlyHints(response: ServerResponse, headers: RawHeaders): void {
  const hints: Record<string, string | string[]> = Object.create(null)
  for (const [name, value] of pairsOf(headers)) {
    const lower = name.toLowerCase()
    if (lower === 'link') hints.link = [...((hints.link as string[] | undefined) ?? []), value]
    else hints[lower] = value
  }
  try {
    response.writeEarlyHints(hints)
  } catch {
    // hints are optional, and Node refuses links in a form that it does not know
  }
}
