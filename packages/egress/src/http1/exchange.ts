import type { ExchangeFailure, ExchangeOutcome } from '../http/exchange.ts'
import { responseHeaders, valuesOf, withoutNamesOf } from '../http/headers.ts'
import { IDEMPOTENT, type RawHeaders } from '../http/message.ts'
import type { Admitted } from '../http/requests.ts'
import { StaleConnectionError } from '../http/upstream1.ts'
import { Outlet } from '../outlet.ts'
import { reset } from '../reset.ts'
import type { BodyHandler } from './body.ts'
import { readBody } from './body-reader.ts'
import { END_OF_CHUNK, lastChunk, sizeLine } from './chunks.ts'
import type { Client } from './client.ts'
import { type AnswerHead, formatAnswer, formatRequest } from './head.ts'
import { type ClientRequest, headersForServer } from './request.ts'
import type { AnswerListener, ServerConnection } from './server-connection.ts'

const CONTINUE = 100
const CHUNKED = ['Transfer-Encoding', 'chunked']
/** The time after which `ClientConnection` closes an idle connection, less the way of a request. */
const KEPT = ['Connection', 'keep-alive', 'Keep-Alive', 'timeout=115']

export interface ExchangeOptions {
  client: Client
  request: ClientRequest
  admitted: Admitted
  /** How long both sides may be silent. */
  idleTimeoutMs: number
}

/**
 * One request and its answer. Bodies pass as bytes, with backpressure both ways, and are not kept. An abort by either side
 * reaches the other one.
 */
export class Exchange implements AnswerListener {
  readonly #options: ExchangeOptions
  readonly #outcome: ExchangeOutcome = { bytesOut: 0, bytesIn: 0 }
  readonly #ended = Promise.withResolvers<ExchangeOutcome>()
  /** Ends an attempt to connect that nobody waits for. */
  readonly #gone = new AbortController()
  #idle!: NodeJS.Timeout
  #connection: ServerConnection | undefined
  #toServer: Outlet | undefined
  #toClient: Outlet | undefined
  #isOver = false
  #isRetry = false
  #isRequestSent = false
  #isContinued = false
  #isComplete = false
  #isSwitched = false
  #mustClose: boolean
  #isHeadSent = false
  /** How the body of the answer is written. */
  #form: 'as it comes' | 'without frames' | 'in new chunks' = 'as it comes'
  #endsByClose = false

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#mustClose = options.request.wantsClose
  }

  get isHeadSent(): boolean {
    return this.#isHeadSent
  }

  /** Whether the client's connection can take no further request. */
  get mustClose(): boolean {
    return this.#mustClose
  }

  /** A client that was not told to go on may send its body, or the next request. */
  get isBodyUncertain(): boolean {
    return this.#options.request.expectsContinue && !this.#isContinued && this.#outcome.bytesOut === 0
  }

  /** @returns when the client has the answer or is gone, except for what is `unanswered` */
  run(): Promise<ExchangeOutcome> {
    const { client, idleTimeoutMs } = this.#options
    this.#idle = setTimeout(() => this.#onIdle(), idleTimeoutMs)
    client.socket.on('close', this.#onClientClose).on('drain', this.#onClientDrain)
    if (client.socket.destroyed) this.#onClientClose()
    else void this.#send()
    return this.#ended.promise
  }

  interim({ status, headers }: AnswerHead): void {
    const { request } = this.#options
    this.#idle.refresh()
    this.#isContinued ||= status === CONTINUE
    if (request.minor === 0) return
    const passed: RawHeaders = []
    const all = responseHeaders(headers)
    for (let i = 0; i < all.length; i += 2)
      if (all[i]!.toLowerCase() !== 'content-length') passed.push(all[i]!, all[i + 1]!)
    this.#toClient?.pass(formatAnswer(status, '', passed))
  }

  head(answer: AnswerHead): BodyHandler {
    this.#idle.refresh()
    const { request } = this.#options
    const { status, reason, headers, framing } = answer
    const isOld = request.minor === 0
    const isUnknownLength = framing.kind === 'chunked' || framing.kind === 'close'
    if (framing.kind === 'close') this.#form = isOld ? 'as it comes' : 'in new chunks'
    else if (isOld) this.#form = 'without frames'
    this.#endsByClose = isUnknownLength && isOld
    this.#mustClose ||= this.#endsByClose || this.isBodyUncertain || request.isUpgrade
    this.#pass(
      formatAnswer(status, reason, [
        ...responseHeaders(headers),
        ...(isUnknownLength && !isOld ? CHUNKED : []),
        ...(this.#mustClose ? ['Connection', 'close'] : KEPT),
      ]),
      status,
    )
    return {
      data: (bytes) => this.#passData(bytes),
      frame: (bytes) => {
        if (!this.#isOver && this.#form === 'as it comes') this.#toClient!.pass(bytes)
      },
      end: (trailers) => this.#complete(isUnknownLength && !isOld ? trailers : undefined),
    }
  }

  switched(answer: AnswerHead): (bytes: Buffer) => void {
    const { client } = this.#options
    const server = this.#connection!.socket
    this.#isSwitched = true
    this.#mustClose = true
    const upgrade = valuesOf(answer.headers, 'upgrade').join(', ')
    const headers = [...responseHeaders(answer.headers), 'Connection', 'Upgrade', 'Upgrade', upgrade]
    this.#pass(formatAnswer(answer.status, answer.reason, headers), answer.status)
    server.once('end', () => this.#toClient!.finish(() => client.socket.end()))
    client.receiveRaw(
      (bytes) => this.#sendData(bytes),
      () => this.#toServer!.finish(() => server.end()),
    )
    return (bytes) => this.#passData(bytes)
  }

  drained(): void {
    this.#options.client.setHeld(false)
  }

  failed(error: Error): void {
    if (this.#isOver || this.#isComplete) return
    if (error instanceof StaleConnectionError && this.#mayRetry()) {
      this.#isRetry = true
      void this.#send()
    } else if (this.#isSwitched) this.#onServerClose()
    else if (this.#isHeadSent) {
      this.#cutAnswer()
      this.#finish({ kind: 'cut off' })
    } else this.#finish({ kind: 'unanswered', error })
  }

  async #send(): Promise<void> {
    const { client, request, admitted } = this.#options
    try {
      const head = formatRequest(request.method, admitted.host.path, headersForServer(request, admitted))
      const isFresh = this.#isRetry || request.isUpgrade
      const connection = await admitted.origin.takeConnection(isFresh, this.#gone.signal)
      if (this.#isOver) {
        connection.destroy()
        return
      }
      this.#connection = connection
      this.#toServer = new Outlet(connection.socket, client.progress)
      this.#toClient = new Outlet(client.socket, connection.progress)
      connection.expect(request.method, request.isUpgrade, this)
      this.#toServer.pass(head)
      if (request.hasBody) client.receive(this.#requestBody())
      else this.#endRequest()
    } catch (error) {
      this.failed(error as Error)
    }
  }

  #requestBody() {
    return readBody(this.#options.request.framing, {
      data: (bytes) => this.#sendData(bytes),
      frame: (bytes) => {
        if (!this.#isOver) this.#toServer!.pass(bytes)
      },
      end: (trailers) => {
        if (this.#isOver) return
        const { request, admitted } = this.#options
        if (request.framing.kind === 'chunked')
          this.#toServer!.pass(lastChunk(withoutNamesOf(admitted.replaced, trailers)))
        this.#endRequest()
      },
    })
  }

  #endRequest(): void {
    this.#isRequestSent = true
    this.#toServer!.send()
  }

  #sendData(bytes: Buffer): void {
    // the rest of a body that nobody wants
    if (this.#isOver) return
    this.#outcome.bytesOut += bytes.length
    this.#idle.refresh()
    this.#toServer!.pass(bytes)
    if (this.#toServer!.isFull) this.#options.client.setHeld(true)
  }

  #pass(head: Buffer, status: number): void {
    this.#outcome.status = status
    this.#isHeadSent = true
    this.#toClient!.pass(head)
  }

  #passData(bytes: Buffer): void {
    if (this.#isOver || bytes.length === 0) return
    const toClient = this.#toClient!
    this.#outcome.bytesIn += bytes.length
    this.#idle.refresh()
    if (this.#form === 'in new chunks') toClient.pass(sizeLine(bytes.length))
    toClient.pass(bytes)
    if (this.#form === 'in new chunks') toClient.pass(END_OF_CHUNK)
    if (toClient.isFull) this.#connection!.socket.pause()
  }

  /** @param trailers absent: the body is not chunked */
  #complete(trailers: RawHeaders | undefined): void {
    if (this.#isOver) return
    this.#isComplete = true
    if (trailers) this.#toClient!.pass(lastChunk(trailers))
    // What is not sent yet lies in the buffer of the server's connection, which therefore serves no other request before.
    this.#toClient!.finish(() => this.#finish())
  }

  #mayRetry(): boolean {
    const { request } = this.#options
    return !this.#isRetry && !request.hasBody && !this.#isHeadSent && IDEMPOTENT.has(request.method)
  }

  #onClientDrain = (): void => {
    this.#connection?.socket.resume()
  }

  #onClientClose = (): void => {
    if (this.#isComplete || this.#isSwitched) this.#finish()
    else this.#finish({ kind: 'client gone' })
  }

  /** After a change of the protocol. */
  #onServerClose(): void {
    const { client } = this.#options
    if (this.#connection!.socket.readableEnded) client.socket.destroySoon()
    else client.socket.destroy()
    this.#finish()
  }

  #onIdle(): void {
    const isAnswered = this.#isHeadSent
    if (isAnswered) this.#cutAnswer()
    this.#finish({ kind: 'idle', isAnswered })
  }

  /** Breaks the answer so that the client cannot mistake it for complete. */
  #cutAnswer(): void {
    const { socket } = this.#options.client
    this.#toClient!.send()
    // an ordinary end would look like that of a body which only the end of the connection delimits
    if (this.#endsByClose) reset(socket)
    else socket.destroy()
  }

  #finish(failure?: ExchangeFailure): void {
    if (this.#isOver) return
    this.#isOver = true
    clearTimeout(this.#idle)
    const { client, admitted } = this.#options
    client.socket.off('close', this.#onClientClose).off('drain', this.#onClientDrain)
    const connection = this.#connection
    if (!connection) this.#gone.abort(new Error('the client has gone'))
    // before what others write to the client
    this.#toClient?.send()
    // What the server has not taken lies in the buffer of the client's connection, which serves other requests from now on.
    const isUsable = this.#isComplete && this.#isRequestSent && this.#toServer!.isAllSent
    connection?.socket.resume()
    if (isUsable) admitted.origin.keepConnection(connection!)
    else if (this.#isSwitched && client.socket.readableEnded) connection?.socket.destroySoon()
    else connection?.destroy()
    if (failure) this.#outcome.failure = failure
    this.#ended.resolve(this.#outcome)
  }
}
