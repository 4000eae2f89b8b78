import { ENVD_PORT, HOUR_MS, SandlotError } from '@sandlot/protocol'
import { Client } from 'undici'
import { type FinishedImage, MAX_ANSWER_BYTES, readFinished } from './imager-answers.ts'

const CONNECT_TIMEOUT_MS = 5_000
/** Longest wait for an answer; guest/imager waits at most two minutes for a registry. */
const ANSWER_TIMEOUT_MS = 150_000
/** Longest wait for an image, longer than any build. */
const WRITE_TIMEOUT_MS = 2 * HOUR_MS

/** Talks to guest/imager. Malicious input may have taken over that program, so every answer is limited. */
export class ImagerClient {
  readonly #address: string
  readonly #port: number

  constructor(address: string, port = ENVD_PORT) {
    this.#address = address
    this.#port = port
  }

  /** @throws SandlotError sandbox_unreachable, and the signal's reason */
  async ask(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    signal: AbortSignal,
    timeoutMs = ANSWER_TIMEOUT_MS,
  ): Promise<unknown> {
    const client = new Client(`http://${this.#address}:${this.#port}`, {
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: timeoutMs,
      bodyTimeout: CONNECT_TIMEOUT_MS,
      maxResponseSize: MAX_ANSWER_BYTES,
    })
    client.on('disconnect', () => {})
    try {
      const answer = await client.request({ method, path, ...toJson(body), signal })
      return JSON.parse(await answer.body.text())
    } catch (error) {
      throw broken(error, signal)
    } finally {
      client.destroy().catch(() => {})
    }
  }

  /** Resolves when the image is in the file of the machine. @throws ImageRefusal, SandlotError, and the signal's reason */
  async write(order: ImageOrder, signal: AbortSignal): Promise<FinishedImage> {
    return readFinished(await this.ask('POST', '/write', order, signal, WRITE_TIMEOUT_MS))
  }
}

/** Describes the image that guest/imager must write. */
export interface ImageOrder {
  /** What to write: the image of `POST /resolve`, or the machine's own root. */
  of: 'registry' | 'root'
  maxBytes: number
  /** Name server of sandboxes. */
  resolver?: string
  /** PATH of the image's configuration. */
  searchPath?: string
}

function broken(error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason
  if (error instanceof SandlotError) return error
  return new SandlotError(
    'sandbox_unreachable',
    `the connection to the machine that makes the image broke: ${(error as Error).message.slice(0, 200)}`,
    { cause: error },
  )
}

const toJson = (body: unknown) =>
  body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
