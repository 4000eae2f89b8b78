import type { Readable } from 'node:stream'
import { passableTrailers } from '@sandlot/protocol/http-headers'
import { responseHeaders, withoutNamesOf } from './headers.ts'
import {
  type AnswerHead,
  type AnswerListener,
  type Downstream,
  IDEMPOTENT,
  type RawHeaders,
  type UpstreamHead,
  type UpstreamRequest,
} from './message.ts'
import type { Origin } from './origin.ts'
import { StaleConnectionError } from './upstream1.ts'

export interface ExchangeOptions {
  downstream: Downstream
  origin: Origin
  head: UpstreamHead
  /** Headers that rules set. */
  replaced: RawHeaders
  /** How long both sides may be silent. */
  idleTimeoutMs: number
}

/** How an exchange ended. */
export interface ExchangeOutcome {
  /** Of the answer, if one began. */
  status?: number
  bytesOut: number
  bytesIn: number
  failure?: ExchangeFailure
}

export type ExchangeFailure =
  /** Nothing was sent to the client. */
  | { kind: 'unanswered'; error: Error }
  | { kind: 'cut off' }
  | { kind: 'idle'; isAnswered: boolean }
  | { kind: 'client gone' }

/**
 * Streams one request to its server and the answer back. An abort by either side reaches the other side.
 * @returns when nothing more is sent to the client, except by the caller, who answers what is `unanswered`
 */
export function exchange(options: ExchangeOptions): Promise<ExchangeOutcome> {
  return new Exchange(options).run()
}

class Exchange implements AnswerListener {
  readonly #options: ExchangeOptions
  readonly #outcome: ExchangeOutcome = { bytesOut: 0, bytesIn: 0 }
  readonly #ended = Promise.withResolvers<ExchangeOutcome>()
  #upstream: UpstreamRequest | undefined
  #idle!: NodeJS.Timeout
  #isComplete = false
  #isOver = false
  #isRetry = false

  constructor(options: ExchangeOptions) {
    this.#options = options
  }

  run(): Promise<ExchangeOutcome> {
    const { downstream, idleTimeoutMs } = this.#options
    this.#idle = setTimeout(() => this.#onIdle(), idleTimeoutMs)
    downstream.onClose(() => {
      if (this.#isComplete) this.#finish()
      else this.#finish({ kind: 'client gone' })
    })
    void this.#send()
    return this.#ended.promise
  }

  interim(status: number, headers: RawHeaders): void {
    this.#idle.refresh()
    this.#options.downstream.sendInterim(status, responseHeaders(headers))
  }

  head({ status, reason, headers, endsHere }: AnswerHead, body: Readable): void {
    const { downstream } = this.#options
    this.#outcome.status = status
    this.#idle.refresh()
    try {
      downstream.sendHead({ status, reason, headers: responseHeaders(headers), endsHere })
    } catch (error) {
      this.failed(error as Error)
      return
    }
    if (endsHere) {
      body.resume()
      return
    }
    let isBodyStarted = false
    body.pipe(downstream.sink, { end: false })
    body.on('data', (chunk: Buffer) => {
      isBodyStarted = true
      this.#outcome.bytesIn += chunk.length
      this.#idle.refresh()
    })
    // A body that arrives with its head shares a packet with the head; a later body must not delay the head.
    setImmediate(() => {
      if (!isBodyStarted && !this.#isComplete && !downstream.sink.destroyed) downstream.flushHead()
    })
  }

  complete(raw: RawHeaders): void {
    if (this.#isOver) return
    const { downstream } = this.#options
    this.#isComplete = true
    this.#idle.refresh()
    const trailers = passableTrailers(raw)
    if (trailers.length > 0) downstream.setTrailers(trailers)
    if (!downstream.sink.writableEnded) downstream.sink.end()
    if (downstream.hasBody && !downstream.source.readableEnded) downstream.dropRest()
  }

  failed(error: Error): void {
    if (this.#isOver || this.#isComplete) return
    if (error instanceof StaleConnectionError && this.#mayRetry()) {
      this.#isRetry = true
      void this.#send()
    } else if (this.#options.downstream.isHeadSent) {
      this.#options.downstream.abort()
      this.#finish({ kind: 'cut off' })
    } else this.#finish({ kind: 'unanswered', error })
  }

  async #send(): Promise<void> {
    const { origin, head } = this.#options
    try {
      const upstream = await origin.send(head, this, this.#isRetry)
      this.#upstream = upstream
      if (this.#isOver) upstream.abort()
      else this.#passBody(upstream)
    } catch (error) {
      this.failed(error as Error)
    }
  }

  #passBody(upstream: UpstreamRequest): void {
    const { downstream } = this.#options
    const { source, hasBody } = downstream
    if (!hasBody) {
      upstream.end()
      return
    }
    let isBodyStarted = false
    source.pipe(upstream.sink, { end: false })
    source.on('data', (chunk: Buffer) => {
      isBodyStarted = true
      this.#outcome.bytesOut += chunk.length
      this.#idle.refresh()
    })
    source.once('end', () => {
      if (this.#isOver) return
      const trailers = passableTrailers(withoutNamesOf(this.#options.replaced, downstream.requestTrailers()))
      if (trailers.length > 0) upstream.setTrailers(trailers)
      upstream.end()
    })
    // The server has stopped reading: the client must be able to finish, in order to read the answer.
    upstream.sink.once('close', () => {
      if (!source.readableEnded) source.resume()
    })
    setImmediate(() => {
      if (!isBodyStarted && !this.#isOver) upstream.flushHead()
    })
  }

  #mayRetry(): boolean {
    const { downstream, head } = this.#options
    return !this.#isRetry && !head.hasBody && !downstream.isHeadSent && IDEMPOTENT.has(head.method)
  }

  #onIdle(): void {
    const { downstream } = this.#options
    const isAnswered = downstream.isHeadSent
    if (isAnswered) downstream.abort()
    this.#finish({ kind: 'idle', isAnswered })
  }

  #finish(failure?: ExchangeFailure): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#idle)
    const { downstream } = this.#options
    if (failure || (downstream.hasBody && !downstream.source.readableEnded)) this.#upstream?.abort()
    if (failure) this.#outcome.failure = failure
    this.#ended.resolve(this.#outcome)
  }
}
