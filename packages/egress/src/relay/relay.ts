import type { TLSSocket } from 'node:tls'
import type { Origin } from '../http/origin.ts'
import { noAnswer, type Refusal, unreachable } from '../http/refusal.ts'
import {
  type Admission,
  type Admitted,
  type RequestScope,
  type Requests,
  refusedOutcome,
} from '../http/requests.ts'
import { SocketReader } from '../socket-reader.ts'
import { AnswerWriter } from './answer-writer.ts'
import { ClientSide } from './client-side.ts'
import { ConnectionError, ErrorCode, goawayFrame, PREFACE, resetFrame } from './frames.ts'
import type { Refused, RelayHub } from './hub.ts'
import type { RelayedRequest } from './request.ts'
import { ServerSide } from './server-side.ts'
import { type RelayStream, Streams } from './streams.ts'

const MAX_STREAM = 0x7fffffff
const IDLE_CONNECTION_MS = 120_000
const CHECK_MS = 30_000
/** How long a client may take to read what was sent before the end. */
const LINGER_MS = 5_000
/** A client that does not read answers of the proxy is not read either. */
const MAX_PENDING_BYTES = 256 * 1024
/** Neither is a server that sends what nobody wants while the client does not end a frame, after which windows are given back. */
const MAX_WAITING_BYTES = 16 * 1024

export interface RelayOptions {
  /** Both have negotiated HTTP/2, and nothing has been read from them. */
  client: TLSSocket
  server: TLSSocket
  /** Of which `server` is a connection. */
  origin: Origin
  scope: RequestScope
  requests: Requests
  onFailure: (error: unknown) => void
}

/**
 * Passes frames of HTTP/2 between a client and a server, with equal numbers of streams, so that the two sides control the
 * flow of data and the proxy keeps none. Only requests are decoded, decided and encoded anew.
 */
export class Relay implements RelayHub {
  readonly streams: Streams
  lastStream = 0
  lastServed = MAX_STREAM
  isOver = false
  readonly #options: RelayOptions
  readonly #answers = new AnswerWriter((frame) => this.toClient(frame))
  readonly #clientSide: ClientSide
  readonly #serverSide: ServerSide
  readonly #awaited = { client: 0, server: 0 }
  #preface: Buffer | undefined = Buffer.alloc(0)
  /** The client's reader is paused for a request that has been decided meanwhile. */
  #isDecided = false
  #timer: NodeJS.Timeout | undefined
  #idleSince: { ms: number; lastStream: number } | undefined

  constructor(options: RelayOptions) {
    const { client, server, requests, scope } = options
    this.#options = options
    this.streams = new Streams(requests, scope)
    this.#clientSide = new ClientSide(client, server, this, this.#answers)
    this.#serverSide = new ServerSide(server, client, this)
  }

  /** @param onClose called when the relay has ended */
  start(onClose: () => void): void {
    const { client, server, requests } = this.#options
    for (const socket of [client, server]) {
      socket.on('error', () => {})
      socket.on('drain', () => this.#control())
    }
    client.once('close', () => {
      this.#end('client_aborted')
      onClose()
    })
    server.once('end', () => this.#onServerGone())
    server.once('close', () => this.#onServerGone())
    this.#clientSide.forward.pass(PREFACE)
    // before the readers, which may end the relay by what has arrived already
    this.#timer = setInterval(() => this.#check(), Math.min(CHECK_MS, requests.idleTimeoutMs))
    new SocketReader(client, (bytes) => this.#fromClient(bytes), this.#clientSide.forward.progress).start()
    new SocketReader(server, (bytes) => this.#fromServer(bytes), this.#serverSide.forward.progress).start()
    if (server.destroyed || server.readableEnded) this.#onServerGone()
  }

  close(): void {
    this.#end('client_aborted')
    this.#options.client.destroy()
  }

  toClient(frame: Buffer): void {
    this.#serverSide.forward.insert(frame)
  }

  toServer(frame: Buffer): void {
    this.#clientSide.forward.insert(frame)
  }

  admit(request: RelayedRequest): Promise<Admission> {
    return this.#options.requests.admit(this.#options.scope, request)
  }

  leadsTo(origin: Origin): boolean {
    return origin === this.#options.origin
  }

  refuse(id: number, request: RelayedRequest, refused: Refused, startedAtMs: number): void {
    const { requests, scope } = this.#options
    const { refusal } = refused
    requests.record(scope, request, startedAtMs, refused, refusedOutcome(refusal))
    this.#answer(id, request, refusal)
  }

  abandon(request: RelayedRequest, admitted: Admitted, startedAtMs: number): void {
    const { requests, scope } = this.#options
    requests.record(scope, request, startedAtMs, admitted, {
      ...{ bytesIn: 0, bytesOut: 0 },
      ...{ verdict: 'failed', reason: 'client_aborted' },
    })
  }

  resumeClient(): void {
    this.#isDecided = true
    this.#control()
  }

  awaitAcknowledgement(from: 'client' | 'server'): void {
    this.#awaited[from]++
  }

  acknowledge(by: 'client' | 'server'): void {
    if (--this.#awaited[by] < 0)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'settings are acknowledged that were not sent')
  }

  onMessage(): void {
    this.#clientSide.control.onMessage()
    this.#serverSide.control.onMessage()
  }

  onServerSettings(): void {
    this.#clientSide.onServerSettings()
  }

  onServerHeaders(): void {
    this.#answers.onServerHeaders()
  }

  drain(): void {
    if (this.lastServed < MAX_STREAM) return
    this.lastServed = this.lastStream
    this.toClient(goawayFrame(this.lastStream, ErrorCode.NO_ERROR))
  }

  fail(error: unknown): void {
    if (!(error instanceof ConnectionError)) this.#options.onFailure(error)
    const code = error instanceof ConnectionError ? error.code : ErrorCode.INTERNAL_ERROR
    this.#end('client_aborted')
    this.#farewell(code)
  }

  /** @param chunk absent: goes on with what has been read */
  #fromClient(chunk?: Buffer): void {
    if (this.isOver) return
    try {
      const frames = chunk && this.#preface ? this.#readPreface(chunk) : chunk
      if (frames) this.#clientSide.reader.push(frames)
      else if (!chunk) this.#clientSide.reader.resume()
      this.#clientSide.forward.flush()
    } catch (error) {
      this.fail(error)
      return
    }
    this.#control()
  }

  #fromServer(chunk: Buffer): void {
    if (this.isOver) return
    try {
      this.#serverSide.reader.push(chunk)
      this.#serverSide.forward.flush()
    } catch (error) {
      if (!(error instanceof ConnectionError)) this.#options.onFailure(error)
      this.#onServerGone()
      return
    }
    this.#control()
  }

  /** @returns what follows the preface */
  #readPreface(chunk: Buffer): Buffer | undefined {
    const bytes = Buffer.concat([this.#preface!, chunk])
    const length = Math.min(bytes.length, PREFACE.length)
    if (!bytes.subarray(0, length).equals(PREFACE.subarray(0, length)))
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the client does not speak HTTP/2')
    this.#preface = length < PREFACE.length ? bytes : undefined
    return this.#preface ? undefined : bytes.subarray(length)
  }

  /** Reads each side only while the other one takes what it sends, so that nothing is kept here. */
  #control(): void {
    if (this.isOver) return
    const { client, server } = this.#options
    const toServer = this.#clientSide.forward
    const toClient = this.#serverSide.forward
    const { reader } = this.#clientSide
    const isFull = toServer.isFull || toClient.pendingBytes > MAX_PENDING_BYTES
    // also requests that have been read wait: a few bytes of a compressed head may become many
    if (this.#isDecided && !isFull) {
      this.#isDecided = false
      this.#fromClient()
      return
    }
    const isClientHeld = reader.isPaused || isFull
    if (isClientHeld !== client.isPaused()) isClientHeld ? client.pause() : client.resume()
    const isServerHeld = toClient.isFull || toServer.waitingBytes > MAX_WAITING_BYTES
    if (isServerHeld !== server.isPaused()) isServerHeld ? server.pause() : server.resume()
    if (this.streams.size === 0 && this.lastServed === this.lastStream && !isClientHeld) this.#finish()
  }

  #check(): void {
    const now = performance.now()
    const { idleTimeoutMs } = this.#options.requests
    for (const stream of this.streams.all())
      if (now - stream.lastActiveMs >= idleTimeoutMs) this.#endIdle(stream, idleTimeoutMs)
    if (this.streams.size > 0 || this.#idleSince?.lastStream !== this.lastStream)
      this.#idleSince = { ms: now, lastStream: this.lastStream }
    else if (now - this.#idleSince.ms >= IDLE_CONNECTION_MS) this.#finish()
  }

  #endIdle(stream: RelayStream, idleTimeoutMs: number): void {
    this.toServer(resetFrame(stream.id, ErrorCode.CANCEL))
    const refusal = noAnswer(stream.admitted.shown, idleTimeoutMs / 1000)
    this.#endInPlaceOfServer(stream, refusal, 'idle')
  }

  /** The server has gone, or does not speak HTTP/2 as it must. */
  #onServerGone(): void {
    if (this.isOver) return
    // what was inserted amid a frame would be taken for its data
    if (this.#serverSide.reader.isAmidPassed) {
      this.#end('upstream_broken')
      this.#options.client.destroy()
      return
    }
    this.#serverSide.open()
    for (const stream of this.streams.all()) {
      if (stream.id > this.lastServed) {
        this.toClient(resetFrame(stream.id, ErrorCode.REFUSED_STREAM))
        this.streams.end(stream, { reason: 'upstream_broken' })
        continue
      }
      const message = 'the server closed the connection or did not answer in HTTP'
      const refusal = unreachable(stream.admitted.shown, 'upstream_broken', message)
      this.#endInPlaceOfServer(stream, refusal, 'upstream_broken')
    }
    this.#finish()
  }

  #endInPlaceOfServer(stream: RelayStream, refusal: Refusal, reason: string): void {
    const { id, request } = stream
    if (stream.status === undefined)
      this.#answer(id, { ...request, hasBody: !stream.isRequestEnded }, refusal)
    else this.toClient(resetFrame(id, ErrorCode.INTERNAL_ERROR))
    this.streams.end(
      stream,
      stream.status === undefined ? { reason: refusal.reason, status: refusal.status } : { reason },
    )
  }

  #answer(id: number, request: RelayedRequest, refusal: Refusal): void {
    this.#answers.write(id, request, refusal)
    // the client need not send the rest of a body that nobody reads (RFC 9113, 8.1)
    if (request.hasBody) this.toClient(resetFrame(id, ErrorCode.NO_ERROR))
  }

  #finish(): void {
    this.#end('upstream_broken')
    this.#farewell(ErrorCode.NO_ERROR)
  }

  #farewell(code: number): void {
    const { client } = this.#options
    if (client.destroyed) return
    if (!this.#serverSide.reader.isAmidPassed) {
      this.#serverSide.open()
      this.toClient(goawayFrame(Math.min(this.lastStream, this.lastServed), code))
    }
    this.#serverSide.forward.send()
    client.resume()
    client.end()
    const linger = setTimeout(() => client.destroy(), LINGER_MS)
    client.once('close', () => clearTimeout(linger))
  }

  #end(reason: string): void {
    if (this.isOver) return
    this.isOver = true
    clearInterval(this.#timer)
    this.streams.endAll({ reason })
    this.#options.server.destroy()
  }
}
