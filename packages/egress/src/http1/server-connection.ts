import type { Socket } from 'node:net'
import { MAX_INTERIM_ANSWERS, StaleConnectionError } from '../http/upstream1.ts'
import { newProgress, SocketReader } from '../socket-reader.ts'
import type { BodyHandler, BodyReader } from './body.ts'
import { readBody } from './body-reader.ts'
import { type AnswerHead, hasToken, parseAnswer } from './head.ts'
import { HeadReader } from './head-reader.ts'
import { MalformedError } from './malformed.ts'

const SWITCHING_PROTOCOLS = 101

/** What becomes of a request. */
export interface AnswerListener {
  interim(answer: AnswerHead): void
  /** @returns what gets the body. When it has ended, the listener must release the connection, or destroy it */
  head(answer: AnswerHead): BodyHandler
  /** The server has changed the protocol, as was asked for. @returns what gets the bytes that follow */
  switched(answer: AnswerHead): (bytes: Buffer) => void
  /** The server takes bytes again. */
  drained(): void
  /** The answer cannot begin, or is cut off; the connection is destroyed. Never called when the body has ended. */
  failed(error: Error): void
}

/** A connection to a server, which serves one request after the other. */
export class ServerConnection {
  readonly socket: Socket
  /** Of the bytes that the server sends. */
  readonly progress = newProgress()
  readonly #head = new HeadReader()
  #listener: AnswerListener | undefined
  #method = ''
  #maySwitch = false
  #interimAnswers = 0
  #body: BodyReader | undefined
  #passRaw: ((bytes: Buffer) => void) | undefined
  #isReused = false
  /** Whether another request may follow this one. */
  #mayStay = false

  /** @param socket nothing has been read from it */
  constructor(socket: Socket) {
    this.socket = socket
    socket.on('drain', () => this.#listener?.drained())
    socket.on('error', (error) => this.#onGone(error))
    socket.once('end', () => this.#onEnd())
    socket.once('close', () => this.#onGone(new Error('the server closed the connection')))
    new SocketReader(socket, (bytes) => this.#read(bytes), this.progress).start()
    if (socket.destroyed || socket.readableEnded) this.#onEnd()
  }

  /** Whether it can take a request. */
  get isIdle(): boolean {
    return !this.#listener && this.socket.writable && !this.socket.readableEnded
  }

  /** Whether the answer that has ended leaves the connection as it was before. */
  get mayStay(): boolean {
    return this.#mayStay && this.isIdle
  }

  /**
   * Expects the answer to a request, which the caller writes to the socket.
   * @param maySwitch the request asks for another protocol
   */
  expect(method: string, maySwitch: boolean, listener: AnswerListener): void {
    this.#listener = listener
    this.#method = method
    this.#maySwitch = maySwitch
    this.#interimAnswers = 0
    this.#mayStay = false
  }

  /** Says that the next request is not the first one, so that the server may have closed the connection meanwhile. */
  markReused(): void {
    this.#isReused = true
  }

  /** Gives up the request, if there is one. */
  destroy(): void {
    this.#listener = undefined
    this.socket.destroy()
  }

  #read(bytes: Buffer): void {
    try {
      this.#take(bytes)
    } catch (error) {
      this.#onGone(error as Error)
    }
  }

  #take(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      const rest = at === 0 ? bytes : bytes.subarray(at)
      if (this.#passRaw) {
        this.#passRaw(rest)
        return
      }
      if (!this.#listener) {
        // nothing was asked for
        this.#mayStay = false
        this.socket.destroy()
        return
      }
      if (this.#body) {
        at += this.#body.push(rest)
        this.#endIfComplete()
        continue
      }
      const found = this.#head.push(rest)
      if (!found) return
      at += found.takenBytes
      if (found.text !== '\r\n') this.#onHead(parseAnswer(found.text, this.#method))
    }
  }

  #onHead(answer: AnswerHead): void {
    const listener = this.#listener!
    if (answer.status === SWITCHING_PROTOCOLS) {
      if (!this.#maySwitch) throw new MalformedError('the server changed the protocol without a request to')
      this.#passRaw = listener.switched(answer)
    } else if (answer.status < 200) {
      if (++this.#interimAnswers > MAX_INTERIM_ANSWERS)
        throw new MalformedError('the server sends interim answers without end')
      listener.interim(answer)
    } else {
      const isKept = answer.minor === 1 && !hasToken(answer.headers, 'connection', 'close')
      this.#mayStay = isKept && answer.framing.kind !== 'close'
      const handler = listener.head(answer)
      // a listener that failed has destroyed the connection
      if (this.#listener) this.#body = readBody(answer.framing, this.#unlessEnded(handler))
      this.#endIfComplete()
    }
  }

  /** Forgets the listener before it learns of the end. */
  #unlessEnded(handler: BodyHandler): BodyHandler {
    return {
      data: (bytes) => handler.data(bytes),
      frame: (bytes) => handler.frame(bytes),
      end: (trailers) => {
        this.#listener = undefined
        handler.end(trailers)
      },
    }
  }

  #endIfComplete(): void {
    if (this.#body?.isEnded) this.#body = undefined
  }

  #onEnd(): void {
    try {
      this.#body?.close()
    } catch (error) {
      this.#onGone(error as Error)
    }
    if (!this.#passRaw) this.#onGone(new Error('the server closed the connection'))
  }

  #onGone(error: Error): void {
    const listener = this.#listener
    this.#listener = undefined
    this.#mayStay = false
    this.socket.destroy()
    if (!listener) return
    const isStale = this.#isReused && !this.#body && !this.#head.isBegun && this.#interimAnswers === 0
    listener.failed(
      isStale && !(error instanceof MalformedError)
        ? new StaleConnectionError('the server had closed the connection', { cause: error })
        : error,
    )
  }
}
