import { connect } from 'node:net'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { Client } from 'undici'
import {
  type FinishedImage,
  HEAD_BYTES,
  ImageRefusal,
  MAX_ANSWER_BYTES,
  readFinished,
} from './imager-answers.ts'
import { type FileLimits, ReceivedFile } from './receive-file.ts'

const CONNECT_TIMEOUT_MS = 5_000
/** It asks a registry for two minutes at most. */
const ANSWER_TIMEOUT_MS = 150_000
/** Where guest/imager streams an image to who names it in a line. */
export const IMAGE_PORT = 49981
const BUFFER_BYTES = 1024 * 1024
/** Later layers may be fetched for so long before anything can be sent. */
const SILENCE_TIMEOUT_MS = 30 * 60_000

/** Talks to guest/imager, which may have been taken over by what it reads: every answer is bounded. */
export class ImagerClient {
  readonly #address: string
  readonly #port: number
  readonly #imagePort: number

  constructor(address: string, port = ENVD_PORT, imagePort = IMAGE_PORT) {
    this.#address = address
    this.#port = port
    this.#imagePort = imagePort
  }

  /** @throws SandlotError sandbox_unreachable, and the signal's reason */
  async ask(method: 'GET' | 'POST', path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const client = new Client(`http://${this.#address}:${this.#port}`, {
      connect: { timeout: CONNECT_TIMEOUT_MS },
      headersTimeout: ANSWER_TIMEOUT_MS,
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

  /**
   * Writes the image that it streams to a new file.
   * @throws ImageRefusal with its reason, SandlotError, and the signal's reason
   */
  async receive(
    order: ImageOrder,
    file: string,
    limits: FileLimits,
    signal: AbortSignal,
  ): Promise<FinishedImage> {
    const received = await ReceivedFile.create(file, HEAD_BYTES, limits)
    try {
      await this.#stream(order, signal, (chunk) => received.add(chunk))
      const finished = readFinished(await this.ask('GET', '/result', undefined, signal))
      const sizeBytes = await received.finish(finished.head)
      if (sizeBytes !== finished.sizeBytes)
        throw new SandlotError('sandbox_unreachable', 'the image was cut off on its way out of its machine')
      return finished
    } catch (error) {
      throw error instanceof ImageRefusal ? error : broken(error, signal)
    } finally {
      await received.close()
    }
  }

  /** Bytes as they come, until the machine closes the connection; one buffer takes them all. */
  #stream(order: ImageOrder, signal: AbortSignal, take: (chunk: Buffer) => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const buffer = Buffer.allocUnsafe(BUFFER_BYTES)
      let taking: Promise<void> = Promise.resolve()
      const callback = (length: number): boolean => {
        taking = take(buffer.subarray(0, length))
        taking.then(
          () => socket.resume(),
          (error) => socket.destroy(error),
        )
        return false
      }
      const socket = connect({ host: this.#address, port: this.#imagePort, onread: { buffer, callback } })
      const onAbort = () => void socket.destroy(signal.reason)
      signal.addEventListener('abort', onAbort, { once: true })
      if (signal.aborted) onAbort()
      socket.setTimeout(SILENCE_TIMEOUT_MS, () => socket.destroy(new Error('nothing came for too long')))
      socket.once('connect', () => socket.write(`${JSON.stringify(order)}\n`))
      let isWhole = false
      socket.once('end', () => void (isWhole = true))
      socket.once('error', reject)
      socket.once('close', () => {
        signal.removeEventListener('abort', onAbort)
        if (isWhole) taking.then(resolve, reject)
        else reject(new Error('the connection was closed'))
      })
    })
  }
}

/** What guest/imager is to make an image of. */
export interface ImageOrder {
  /** What `POST /resolve` found, or the machine's own root. */
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
    `the machine that makes the image broke off: ${(error as Error).message.slice(0, 200)}`,
    { cause: error },
  )
}

const toJson = (body: unknown) =>
  body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
