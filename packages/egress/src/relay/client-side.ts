import type { TLSSocket } from 'node:tls'
import { RateLimiter } from '../rate-limiter.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { Treatment } from './frame-reader.ts'
import {
  ConnectionError,
  ErrorCode,
  Flag,
  FrameType,
  frame,
  headersFrames,
  resetFrame,
  SETTINGS_ACK,
  windowUpdateFrame,
} from './frames.ts'
import { encodeHeaders } from './hpack.ts'
import type { RelayHub } from './hub.ts'
import { headersForServer, type RelayedRequest, readRequest, trailersForServer } from './request.ts'
import { MAX_STREAMS, readSettings, Setting, settingsForServer } from './settings.ts'
import { Side } from './side.ts'
import type { RelayStream } from './streams.ts'

/** Streams that end without an answer (rapid reset, CVE-2023-44487): a burst, and then so many a second. */
const RESET_BURST = 1_000
const RESETS_PER_SECOND = 100
const NOTHING = Buffer.alloc(0)

/** Frames of the client: each request is decided before it goes on. */
export class ClientSide extends Side {
  readonly #hub: RelayHub
  readonly #answers: AnswerWriter
  readonly #resets = new RateLimiter<ClientSide>(RESETS_PER_SECOND, RESET_BURST)
  #isFirst = true
  /** The server's table of headers is not used, which it has to be told (again) in the next block. */
  #mustResizeTable = true

  constructor(socket: TLSSocket, server: TLSSocket, hub: RelayHub, answers: AnswerWriter) {
    super(socket, server)
    this.#hub = hub
    this.#answers = answers
  }

  /** The server may have changed the size of its table. */
  onServerSettings(): void {
    this.#mustResizeTable = true
  }

  protected onMessage(): void {
    this.#hub.onMessage()
  }

  protected stream(id: number): RelayStream | undefined {
    return this.#hub.streams.get(id)
  }

  protected get lastStream(): number {
    return this.#hub.lastStream
  }

  protected mayOpen(id: number): boolean {
    return id % 2 === 1
  }

  protected answer(frame: Buffer): void {
    this.#hub.toClient(frame)
  }

  protected onData(stream: RelayStream, sizeBytes: number, isEnd: boolean): void {
    if (stream.isRequestEnded) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the request has ended')
    stream.bytesOut += sizeBytes
    stream.lastActiveMs = performance.now()
    checkLength(stream, isEnd)
    if (isEnd) this.#endRequest(stream)
  }

  protected onHeaders(id: number, headers: string[], isEnd: boolean): void {
    const stream = this.stream(id)
    if (stream) this.#onTrailers(stream, headers, isEnd)
    else if (id > this.lastStream) this.#onRequest(id, headers, isEnd)
  }

  protected onReset(stream: RelayStream, code: number): void {
    this.#countReset()
    this.forward.insert(resetFrame(stream.id, code))
    this.#hub.streams.end(stream, { reason: 'client_aborted' })
  }

  protected onSettings(payload: Buffer): void {
    const settings = readSettings(payload)
    this.#hub.awaitAcknowledgement('server')
    this.forward.insert(settingsForServer(settings, this.#isFirst))
    this.#isFirst = false
    this.#answers.onClientSettings(
      settings.get(Setting.HEADER_TABLE_SIZE),
      settings.get(Setting.INITIAL_WINDOW_SIZE),
    )
  }

  protected onAcknowledged(): void {
    this.#hub.acknowledge('client')
    this.forward.insert(SETTINGS_ACK)
  }

  // the client ends the connection when it has all answers
  protected onGoAway(): void {}

  protected treatConnectionWindow(): Treatment {
    return 'read'
  }

  protected onConnectionWindow(sizeBytes: number): void {
    if (sizeBytes === 0) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a window grows by nothing')
    const passed = this.#answers.takeWindow(sizeBytes)
    if (passed > 0) this.forward.insert(windowUpdateFrame(0, passed))
  }

  #onTrailers(stream: RelayStream, headers: string[], isEnd: boolean): void {
    if (!isEnd || stream.isRequestEnded)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'headers amid a request')
    checkLength(stream, isEnd)
    const trailers = trailersForServer(headers, stream.admitted.replaced)
    this.forward.insert(
      trailers.length > 0
        ? headersFrames(stream.id, this.#encode(trailers), true)
        : frame(FrameType.DATA, Flag.END_STREAM, stream.id, NOTHING),
    )
    this.#endRequest(stream)
  }

  #onRequest(id: number, headers: string[], isEnd: boolean): void {
    const startedAtMs = Date.now()
    this.#hub.lastStream = id
    const request = readRequest(headers, !isEnd)
    if (!request || id > this.#hub.lastServed || this.#hub.streams.size >= MAX_STREAMS) {
      this.#countReset()
      this.#hub.toClient(resetFrame(id, request ? ErrorCode.REFUSED_STREAM : ErrorCode.PROTOCOL_ERROR))
      return
    }
    // Requests are decided in their order, as streams must be opened in the order of their numbers.
    this.reader.pause()
    this.#decide(id, request, startedAtMs).catch((error) => this.#hub.fail(error))
  }

  async #decide(id: number, request: RelayedRequest, startedAtMs: number): Promise<void> {
    const admission = await this.#hub.admit(request)
    if (!('refusal' in admission) && this.#hub.isOver) this.#hub.abandon(request, admission, startedAtMs)
    else if ('refusal' in admission) this.#hub.refuse(id, request, admission, startedAtMs)
    else if (!this.#hub.leadsTo(admission.origin)) {
      // the policy has changed, and the client may repeat the request on another connection
      this.#hub.toClient(resetFrame(id, ErrorCode.REFUSED_STREAM))
      this.#hub.drain()
    } else {
      this.#hub.streams.open(id, request, admission, startedAtMs)
      const block = this.#encode(headersForServer(request, admission))
      this.forward.insert(headersFrames(id, block, !request.hasBody))
    }
    this.#hub.resumeClient()
  }

  #encode(headers: string[]): Buffer {
    const block = encodeHeaders(headers, this.#mustResizeTable ? 0 : undefined)
    this.#mustResizeTable = false
    return block
  }

  #endRequest(stream: RelayStream): void {
    stream.isRequestEnded = true
    this.#hub.streams.endIfComplete(stream)
  }

  #countReset(): void {
    if (!this.#resets.take(this).mayPass)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many streams are reset')
  }
}

/**
 * A server that passes the request on in HTTP/1.1 may believe the announced length (RFC 9113, 8.1.1): what exceeds it would
 * be another request there, and what is missing would be taken from the next one, with the headers of its rule.
 */
function checkLength({ request: { lengthBytes }, bytesOut }: RelayStream, isEnd: boolean): void {
  if (lengthBytes === undefined || (isEnd ? bytesOut === lengthBytes : bytesOut <= lengthBytes)) return
  throw new ConnectionError(
    ErrorCode.PROTOCOL_ERROR,
    'the body of a request has not the length that it announced',
  )
}
