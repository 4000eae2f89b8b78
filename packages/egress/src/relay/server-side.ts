import type { TLSSocket } from 'node:tls'
import { MAX_INTERIM_ANSWERS } from '../http/upstream1.ts'
import type { Treatment } from './frame-reader.ts'
import { ConnectionError, ErrorCode, headersFrames, resetFrame, SETTINGS_ACK } from './frames.ts'
import type { RelayHub } from './hub.ts'
import { readSettings, settingsForClient } from './settings.ts'
import { Side } from './side.ts'
import type { RelayStream } from './streams.ts'

/** Frames of the server. */
export class ServerSide extends Side {
  readonly #hub: RelayHub
  #isFirst = true

  constructor(socket: TLSSocket, client: TLSSocket, hub: RelayHub) {
    super(socket, client)
    this.#hub = hub
  }

  /** Opens the connection to the client in place of a server that has not. */
  open(): void {
    if (this.isOpened) return
    this.isOpened = true
    this.forward.pass(settingsForClient(new Map(), true))
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

  protected mayOpen(): boolean {
    return false
  }

  protected answer(frame: Buffer): void {
    this.#hub.toServer(frame)
  }

  protected onData(stream: RelayStream, sizeBytes: number, isEnd: boolean): void {
    if (stream.status === undefined || stream.isAnswerEnded)
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'data does not belong to an answer')
    stream.bytesIn += sizeBytes
    stream.lastActiveMs = performance.now()
    if (isEnd) this.#endAnswer(stream)
  }

  protected onHeaders(id: number, headers: string[], isEnd: boolean, block: Buffer): void {
    const stream = this.stream(id)
    // The client decodes all blocks, also of streams that it has reset: its table follows the server's.
    this.forward.insert(headersFrames(id, block, isEnd))
    this.#hub.onServerHeaders()
    if (!stream) return
    if (stream.isAnswerEnded) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'the answer has ended')
    stream.lastActiveMs = performance.now()
    if (stream.status === undefined) {
      const status = headers[0] === ':status' ? Number(headers[1]) : Number.NaN
      if (!(status >= 100 && status <= 999))
        throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'an answer has no status')
      if (status >= 200) stream.status = status
      else if (++stream.interimAnswers > MAX_INTERIM_ANSWERS)
        throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'the server sends interim answers without end')
    }
    if (isEnd) this.#endAnswer(stream)
  }

  protected onReset(stream: RelayStream, code: number): void {
    this.forward.insert(resetFrame(stream.id, code))
    this.#hub.streams.end(stream, { reason: 'upstream_broken' })
  }

  protected onSettings(payload: Buffer): void {
    this.#hub.awaitAcknowledgement('client')
    this.#hub.onServerSettings()
    // ahead of all that waits for the first settings
    this.forward.pass(settingsForClient(readSettings(payload), this.#isFirst))
    this.#isFirst = false
  }

  protected onAcknowledged(): void {
    this.#hub.acknowledge('server')
    this.forward.insert(SETTINGS_ACK)
  }

  protected onGoAway(lastStream: number): void {
    this.#hub.lastServed = Math.min(this.#hub.lastServed, lastStream)
  }

  protected treatConnectionWindow(): Treatment {
    return 'pass'
  }

  protected onConnectionWindow(): void {}

  #endAnswer(stream: RelayStream): void {
    stream.isAnswerEnded = true
    this.#hub.streams.endIfComplete(stream)
  }
}
