import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import type { SandboxTarget } from '@sandlot/protocol'
import { passableTrailers } from '@sandlot/protocol/http-headers'
import { ConnectMessages, carriesConnectMessages, type StreamError } from './connect-messages.ts'
import { type Crossing, contained } from './crossing.ts'
import type { Downstream } from './downstream.ts'
import { responseHeaders } from './headers.ts'
import type { RawHeaders } from './message.ts'
import { CONNECTION_LOST } from './parting.ts'
import { noAnswer, type Refusal, unanswered } from './refusal.ts'
import { MAX_HEADER_BYTES, type SandboxConnections } from './sandbox-connections.ts'
import { onUnwantedAnswer } from './unwanted-answer.ts'

export interface ExchangeOptions {
  downstream: Downstream
  connections: SandboxConnections
  target: SandboxTarget
  method: string
  path: string
  headers: RawHeaders
  crossing: Crossing
  idleTimeoutMs: number
  /** Answers in place of the sandbox. Called at most once, and only before a head was sent. */
  refuse: (refusal: Refusal) => void
}

/**
 * Streams one request to the sandbox and its answer back. An abort by either side reaches the other side.
 * @throws node:http's error when HTTP/1.1 cannot carry the head; no answer was sent then
 */
export function exchange(options: ExchangeOptions): void {
  new Exchange(options).begin()
}

class Exchange {
  readonly #options: ExchangeOptions
  #upstream!: ClientRequest
  #messages: ConnectMessages | undefined
  #isOver = false
  #untrack!: () => void

  constructor(options: ExchangeOptions) {
    this.#options = options
  }

  begin(): void {
    const { downstream, connections, refuse } = this.#options
    this.#start(false)
    this.#untrack = connections.track((parting) => {
      if (this.#isOver) return
      this.#isOver = true
      this.#upstream.destroy()
      if (downstream.isHeadSent || !parting) this.#breakAnswer(parting?.error)
      else refuse(parting.refusal)
    })
    downstream.onClose(() => {
      this.#untrack()
      this.#isOver = true
      if (!isComplete(this.#upstream) || !this.#upstream.writableFinished) this.#upstream.destroy()
    })
  }

  #start(isRetry: boolean): void {
    const { downstream, connections, target, method, path, headers, idleTimeoutMs } = this.#options
    const request = httpRequest({
      agent: isRetry ? connections.freshAgent() : connections.agentFor(target.port),
      host: connections.address,
      port: target.port,
      method,
      path,
      headers,
      timeout: idleTimeoutMs,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
    this.#upstream = request
    request.once('response', (response) => {
      this.#messages = passAnswer(response, downstream, this.#options, (error) => this.#fail(error))
    })
    onUnwantedAnswer(request, { mayUpgrade: false }, (error) => this.#breakOff(error))
    request.once('timeout', () => {
      // The answer is complete, so it is the client that does not read.
      if (isComplete(request)) downstream.abort()
      else this.#fail(undefined, noAnswer(target, idleTimeoutMs))
    })
    request.on('error', (error) => {
      if (isStale(request, error) && !isRetry && this.#mayRetry()) this.#start(true)
      else this.#fail(error)
    })
    passRequest(request, downstream)
  }

  #mayRetry(): boolean {
    const { hasBody, isHeadSent } = this.#options.downstream
    return !hasBody && !this.#isOver && !isHeadSent
  }

  #breakAnswer(error?: StreamError): void {
    const { downstream, idleTimeoutMs } = this.#options
    if (error && this.#messages?.endWith(error)) endUnlessRead(downstream, idleTimeoutMs)
    else downstream.abort()
  }

  #fail(error: unknown, refusal?: Refusal): void {
    if (!isComplete(this.#upstream)) this.#breakOff(error, refusal)
  }

  #breakOff(error: unknown, refusal?: Refusal): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#upstream.destroy()
    this.#untrack()
    const { downstream, target, refuse } = this.#options
    if (downstream.isHeadSent) this.#breakAnswer(CONNECTION_LOST)
    else refuse(refusal ?? unanswered(target, error))
  }
}

function passRequest(upstream: ClientRequest, downstream: Downstream): void {
  if (!downstream.hasBody) {
    upstream.end()
    return
  }
  const { source } = downstream
  let isHeadOut = false
  source.once('data', () => {
    isHeadOut = true
  })
  source.pipe(upstream, { end: false })
  source.once('end', () => {
    const trailers = passableTrailers(downstream.requestTrailers())
    for (let i = 0; i < trailers.length; i += 2) {
      upstream.addTrailers([[trailers[i] as string, trailers[i + 1] as string]])
    }
    upstream.end()
  })
  // Reads and drops the part of the body that the sandbox does not read, so that the client reads the answer.
  upstream.once('close', () => {
    if (!source.readableEnded) source.resume()
  })
  // A body that arrives with its head shares a packet with the head; a later body must not delay the head.
  setImmediate(() => {
    if (!isHeadOut && !upstream.destroyed) upstream.flushHeaders()
  })
}

/**
 * Streams an answer to the client. `fail` is called when the answer cannot begin or is cut off.
 * @returns the transform that can end the answer with an error, if the answer has one
 */
export function passAnswer(
  answer: IncomingMessage,
  downstream: Downstream,
  {
    crossing,
    connections,
    idleTimeoutMs,
  }: Pick<ExchangeOptions, 'crossing' | 'connections' | 'idleTimeoutMs'>,
  fail: (error: unknown) => void,
): ConnectMessages | undefined {
  const status = answer.statusCode ?? 502
  const { sink } = downstream
  answer.once('error', fail)
  answer.once('close', () => {
    if (!answer.complete) fail(new Error('the answer was cut off'))
  })
  try {
    downstream.sendHead(
      status,
      answer.statusMessage,
      contained(responseHeaders(answer.rawHeaders, answer.headers.connection), crossing),
    )
  } catch (error) {
    fail(error)
    return undefined
  }
  const messages = carriesConnectMessages(answer, crossing)
    ? new ConnectMessages(connections.holding)
    : undefined
  if (messages) downstream.onClose(() => messages.destroy())
  let isBodyStarted = false
  answer.once('data', () => {
    isBodyStarted = true
  })
  const body = messages ? answer.pipe(messages) : answer
  body.pipe(sink, { end: false })
  answer.once('end', () => {
    const { readableLength = 0, writableLength = 0 } = messages ?? {}
    if (readableLength + writableLength + sink.writableLength > 0) endUnlessRead(downstream, idleTimeoutMs)
  })
  body.once('end', () => {
    isBodyStarted = true
    const trailers = passableTrailers(answer.rawTrailers)
    if (trailers.length > 0) downstream.setTrailers(trailers)
    sink.end()
  })
  setImmediate(() => {
    if (!isBodyStarted && !sink.destroyed) downstream.flushHead()
  })
  return messages
}

/**
 * Aborts a client that does not read the rest of a finished answer, which the sandbox's idle timeout no longer
 * covers.
 */
function endUnlessRead(downstream: Downstream, idleTimeoutMs: number): void {
  const timer = setTimeout(() => downstream.abort(), idleTimeoutMs)
  downstream.onClose(() => clearTimeout(timer))
}

const isComplete = (upstream: ClientRequest): boolean =>
  (upstream as ClientRequest & { res?: IncomingMessage }).res?.complete === true

/** A kept-alive connection that the server had closed before the request reached it. */
const isStale = (request: ClientRequest, error: NodeJS.ErrnoException): boolean =>
  request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
