import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { ExchangeOutcome } from '../http/exchange.ts'
import { badRequest, type Refusal, refusalText } from '../http/refusal.ts'
import { type Admitted, type RequestScope, type Requests, refusedOutcome } from '../http/requests.ts'
import { newProgress, SocketReader } from '../socket-reader.ts'
import type { BodyHandler, BodyReader } from './body.ts'
import { readBody } from './body-reader.ts'
import type { Client } from './client.ts'
import { Exchange } from './exchange.ts'
import { parseRequest } from './head.ts'
import { HeadReader } from './head-reader.ts'
import { MalformedError } from './malformed.ts'
import { type ClientRequest, clientRequest } from './request.ts'

const HEAD_TIMEOUT_MS = 30_000
const IDLE_CONNECTION_MS = 120_000
/** Some clients read an answer only after they have sent everything. */
const MAX_REST_BYTES = 64 * 1024 * 1024
const MAX_REST_MS = 60_000
/** How long a client may take to read the last answer. */
const LINGER_MS = 5_000
const NOWHERE: BodyHandler = { data: () => {}, frame: () => {}, end: () => {} }
const EMPTY_LINE = '\r\n'
/** In front of a request. */
const MAX_EMPTY_LINES = 8

/** What the next bytes of the client are. `waiting`: they are kept until it is known. */
type Expected = 'head' | 'body' | 'raw' | 'waiting' | 'nothing'

/** A connection of a sandbox that speaks HTTP/1.1. Serves its requests one after the other, each as the policy decides. */
export class ClientConnection implements Client {
  readonly socket: Socket
  readonly progress = newProgress()
  readonly #scope: RequestScope
  readonly #requests: Requests
  readonly #onFailure: (error: unknown) => void
  readonly #head = new HeadReader()
  #emptyLines = 0
  #expected: Expected = 'head'
  /** What came before it could be used. The socket is not read meanwhile. */
  #ahead: Buffer | undefined
  /** The server does not take more. */
  #isHeld = false
  #body: BodyReader | undefined
  #onRaw: ((bytes: Buffer) => void) | undefined
  #onRawEnd: (() => void) | undefined
  /** What happens when the rest of a body has been dropped; absent while it is wanted. */
  #afterRest: (() => void) | undefined
  #restEndsAtBytes = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /** @param socket paused; nothing has been read from it, or it was put back */
  constructor(socket: Socket, scope: RequestScope, requests: Requests, onFailure: (error: unknown) => void) {
    this.socket = socket
    this.#scope = scope
    this.#requests = requests
    this.#onFailure = onFailure
  }

  start(): void {
    const { socket } = this
    socket.on('error', () => socket.destroy())
    socket.once('close', () => clearTimeout(this.#timer))
    socket.once('end', () => this.#onEnd())
    this.#after(HEAD_TIMEOUT_MS, () => this.#onHeadTimeout())
    new SocketReader(socket, (bytes) => this.#read(bytes), this.progress).start()
    if (socket.readableEnded) this.#onEnd()
  }

  receive(body: BodyReader): void {
    this.#body = body
    this.#goOn('body')
  }

  receiveRaw(onBytes: (bytes: Buffer) => void, onEnd: () => void): void {
    this.#onRaw = onBytes
    this.#onRawEnd = onEnd
    this.#goOn('raw')
    if (this.socket.readableEnded) onEnd()
  }

  setHeld(isHeld: boolean): void {
    this.#isHeld = isHeld
    this.#control()
  }

  #read(bytes: Buffer): void {
    if (this.#ahead) this.#ahead = Buffer.concat([this.#ahead, bytes])
    else this.#use(bytes)
    this.#control()
  }

  #goOn(expected: Expected): void {
    this.#expected = expected
    const ahead = this.#ahead
    this.#ahead = undefined
    if (ahead) this.#use(ahead)
    this.#control()
  }

  #use(bytes: Buffer): void {
    try {
      const used = this.#take(bytes)
      // the bytes change with the next read
      if (used < bytes.length) this.#ahead = Buffer.from(bytes.subarray(used))
    } catch (error) {
      this.#onMalformed(error)
    }
  }

  /** @returns how many of the bytes can be used now */
  #take(bytes: Buffer): number {
    let at = 0
    while (at < bytes.length && this.#expected !== 'waiting') {
      const rest = at === 0 ? bytes : bytes.subarray(at)
      if (this.#expected === 'head') at += this.#takeHead(rest)
      else if (this.#expected === 'body') at += this.#takeBody(rest)
      else {
        if (this.#expected === 'raw') this.#onRaw!(rest)
        return bytes.length
      }
    }
    return at
  }

  #takeHead(bytes: Buffer): number {
    if (!this.#head.isBegun) this.#after(HEAD_TIMEOUT_MS, () => this.#onHeadTimeout())
    const found = this.#head.push(bytes)
    if (!found) return bytes.length
    // some clients send an empty line after a body (RFC 9112, 2.2)
    if (found.text === EMPTY_LINE) {
      if (++this.#emptyLines > MAX_EMPTY_LINES) throw new MalformedError('the request does not begin')
    } else {
      this.#emptyLines = 0
      const request = clientRequest(parseRequest(found.text))
      this.#expected = 'waiting'
      this.#body = undefined
      clearTimeout(this.#timer)
      this.#serve(request).catch((error) => {
        this.#onFailure(error)
        this.socket.destroy()
      })
    }
    return found.takenBytes
  }

  #takeBody(bytes: Buffer): number {
    if (this.socket.bytesRead > this.#restEndsAtBytes) {
      this.socket.destroy()
      return bytes.length
    }
    const taken = this.#body!.push(bytes)
    if (this.#body!.isEnded) {
      this.#expected = 'waiting'
      this.#afterRest?.()
    }
    return taken
  }

  async #serve(request: ClientRequest): Promise<void> {
    const scope = this.#scope
    const startedAtMs = Date.now()
    const admission = await this.#requests.admit(scope, request)
    if ('refusal' in admission) {
      this.#requests.record(scope, request, startedAtMs, admission, refusedOutcome(admission.refusal))
      this.#refuse(request, admission.refusal)
      return
    }
    if (request.expectsOther) {
      const refusal = { ...badRequest('the request expects what the proxy does not know'), status: 417 }
      this.#requests.record(scope, request, startedAtMs, admission, refusedOutcome(refusal))
      this.#refuse(request, refusal)
      return
    }
    await this.#forward(request, admission, startedAtMs)
  }

  async #forward(request: ClientRequest, admitted: Admitted, startedAtMs: number): Promise<void> {
    const { idleTimeoutMs } = this.#requests
    const exchange = new Exchange({ client: this, request, admitted, idleTimeoutMs })
    const release = this.#requests.take(this.#scope.connection.owner.sandboxId)
    const outcome: ExchangeOutcome = await exchange.run().finally(release)
    const refusal = this.#requests.recordExchange(this.#scope, request, startedAtMs, admitted, outcome)
    this.#isHeld = false
    const { isBodyUncertain, isHeadSent, mustClose } = exchange
    if (refusal && !isHeadSent) this.#refuse(request, refusal, isBodyUncertain)
    else this.#afterAnswer(request, mustClose, isBodyUncertain)
  }

  /** Answers in place of the server, and ends the connection. */
  #refuse(
    request: ClientRequest | undefined,
    refusal: Refusal,
    isBodyUncertain = request?.expectsContinue ?? false,
  ): void {
    if (this.socket.destroyed) return
    const text = refusalText(refusal, STATUS_CODES[refusal.status] ?? 'Refused')
    const isHeadOnly = request?.method === 'HEAD'
    this.socket.write(isHeadOnly ? text.slice(0, text.indexOf('\r\n\r\n') + 4) : text)
    if (request) this.#afterAnswer(request, true, isBodyUncertain)
    else this.#close()
  }

  #afterAnswer(request: ClientRequest, mustClose: boolean, isBodyUncertain: boolean): void {
    if (this.socket.destroyed) return
    const isBodyDue = request.hasBody && !this.#body?.isEnded
    const next = mustClose ? () => this.#close() : () => this.#next()
    if (isBodyDue && !isBodyUncertain) this.#dropRest(request, next)
    else next()
  }

  /** A connection that is closed while its client still sends is reset, and the client may lose the answer. */
  #dropRest(request: ClientRequest, next: () => void): void {
    this.#restEndsAtBytes = this.socket.bytesRead + MAX_REST_BYTES
    this.#after(MAX_REST_MS, () => this.socket.destroy())
    this.#afterRest = () => {
      this.#afterRest = undefined
      this.#restEndsAtBytes = Number.POSITIVE_INFINITY
      next()
    }
    // an exchange that is over drops what it gets
    this.receive(this.#body ?? readBody(request.framing, NOWHERE))
  }

  #next(): void {
    this.#after(IDLE_CONNECTION_MS, () => this.#close())
    this.#goOn('head')
  }

  #close(): void {
    this.#goOn('nothing')
    this.socket.end()
    this.#after(LINGER_MS, () => this.socket.destroy())
  }

  #onMalformed(error: unknown): void {
    if (!(error instanceof MalformedError)) this.#onFailure(error)
    const isAnswerable = error instanceof MalformedError && this.#expected === 'head'
    if (isAnswerable) this.#reject({ ...badRequest(error.message), status: error.status })
    else this.socket.destroy()
  }

  #onHeadTimeout(): void {
    this.#reject({ ...badRequest('the head did not arrive in time'), status: 408 })
  }

  /** Answers what is no request that could be served, and ends the connection. */
  #reject(refusal: Refusal): void {
    this.#scope.isUsed = true
    this.#requests.record(this.#scope, { method: '' }, Date.now(), { rule: 'http' }, refusedOutcome(refusal))
    this.#refuse(undefined, refusal)
  }

  /** The client sends no more. It is gone, unless it has changed the protocol. */
  #onEnd(): void {
    if (this.#expected === 'raw') this.#onRawEnd!()
    else if (this.#expected === 'head' || this.#expected === 'nothing') this.socket.end()
    else this.socket.destroy()
  }

  #control(): void {
    const { socket } = this
    const mustPause = this.#ahead !== undefined || this.#isHeld
    if (mustPause !== socket.isPaused()) mustPause ? socket.pause() : socket.resume()
  }

  #after(timeoutMs: number, action: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(action, timeoutMs)
  }
}
