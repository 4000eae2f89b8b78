import { bodyOf, headersOf, type Refusal } from '../http/refusal.ts'
import { Flag, FrameType, frame, headersFrames } from './frames.ts'
import { encodeHeaders, TABLE_BYTES } from './hpack.ts'
import type { RelayedRequest } from './request.ts'

/** Of the client's window for the connection, kept back for answers of the proxy. */
const RESERVED_BYTES = 16_384
const DEFAULT_WINDOW_BYTES = 65_535

/**
 * Writes answers of the proxy between those of the server. Their bodies count in the client's window for the connection,
 * which the server does not know: so a part of that window is never given to the server.
 */
export class AnswerWriter {
  readonly #toClient: (frame: Buffer) => void
  #reservedBytes = 0
  #streamWindowBytes = DEFAULT_WINDOW_BYTES
  /** A block must begin with this size of the client's table, as the client has lowered it and no block has followed. */
  #tableBytes: number | undefined

  constructor(toClient: (frame: Buffer) => void) {
    this.#toClient = toClient
  }

  onClientSettings(tableBytes: number | undefined, streamWindowBytes: number | undefined): void {
    if (tableBytes !== undefined && tableBytes < TABLE_BYTES) this.#tableBytes = tableBytes
    if (streamWindowBytes !== undefined) this.#streamWindowBytes = streamWindowBytes
  }

  onServerHeaders(): void {
    this.#tableBytes = undefined
  }

  /** @returns what the server may have of a larger window */
  takeWindow(sizeBytes: number): number {
    const kept = Math.min(sizeBytes, RESERVED_BYTES - this.#reservedBytes)
    this.#reservedBytes += kept
    return sizeBytes - kept
  }

  write(id: number, { method }: Pick<RelayedRequest, 'method'>, refusal: Refusal): void {
    const body = Buffer.from(bodyOf(refusal))
    const hasBody = method !== 'HEAD' && body.length <= this.#streamWindowBytes
    const headers = [':status', String(refusal.status)]
    // without a body, an answer to other methods than HEAD must not announce one
    const all = hasBody || method === 'HEAD' ? headersOf(body.toString()) : []
    for (const [i, text] of all.entries()) headers.push(i % 2 === 0 ? text.toLowerCase() : text)
    this.#toClient(headersFrames(id, encodeHeaders(headers, this.#tableBytes), !hasBody))
    this.#tableBytes = undefined
    if (!hasBody) return
    this.#reservedBytes -= body.length
    this.#toClient(frame(FrameType.DATA, Flag.END_STREAM, id, body))
  }
}
