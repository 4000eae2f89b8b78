import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { Http1Downstream, hasBody } from './downstream1.ts'
import { MAX_HEADER_BYTES } from './message.ts'
import { badRequest, connectRefused, type Refusal, refusalText } from './refusal.ts'
import { type RequestScope, type Requests, refusedOutcome } from './requests.ts'
import { tunnel } from './tunnel.ts'

/** Real clients send fewer requests ahead of their answers. */
const MAX_PIPELINED = 100
const HEAD_TIMEOUT_MS = 30_000
const IDLE_CONNECTION_MS = 120_000

interface Connection {
  scope: RequestScope
  pending: number
  /** Ends when the last request that was received is answered. */
  tail: Promise<void>
}

/** Reads requests in HTTP/1.1 from connections that others have accepted, and serves those of a connection in order. */
export class Http1Server {
  readonly #requests: Requests
  readonly #onFailure: (error: unknown) => void
  readonly #server: Server
  readonly #connections = new WeakMap<Duplex, Connection>()

  constructor(requests: Requests, onFailure: (error: unknown) => void) {
    this.#requests = requests
    this.#onFailure = onFailure
    this.#server = createServer({
      insecureHTTPParser: false,
      maxHeaderSize: MAX_HEADER_BYTES,
      // without Host the address decides
      requireHostHeader: false,
      headersTimeout: HEAD_TIMEOUT_MS,
      // uploads may take any time; the idle timeout of the exchange bounds them
      requestTimeout: 0,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      connectionsCheckingInterval: 5_000,
      noDelay: true,
      // The proxy does not accept the offer of h2c, which Java's HttpClient makes on every request. A request with a body
      // is forwarded as an ordinary request too (RFC 9110, 7.8 lets a server ignore the offer).
      shouldUpgradeCallback: (request) =>
        request.headers.upgrade?.toLowerCase() !== 'h2c' && !hasBody(request),
    })
    this.#handle()
    // This server never listens itself; the event starts the check of its timeouts.
    this.#server.emit('listening')
  }

  /** @param socket its bytes must not have been read, or be put back with `unshift` */
  accept(socket: Duplex, scope: RequestScope): void {
    this.#connections.set(socket, { scope, pending: 0, tail: Promise.resolve() })
    this.#server.emit('connection', socket)
    // the socket comes paused, and the server does not know that
    socket.resume()
  }

  close(): void {
    this.#server.close()
  }

  #handle(): void {
    const server = this.#server
    server.on('request', (request, response) => this.#enqueue(request, response, false))
    server.on('checkContinue', (request, response) => this.#enqueue(request, response, true))
    server.on('connect', (request: IncomingMessage, socket: Duplex) => {
      const connection = this.#connections.get(socket)
      if (!connection || connection.pending > 0) socket.destroy()
      else this.#reject(connection, socket, request.method ?? '', connectRefused(), 'Method Not Allowed')
    })
    server.on('upgrade', (request, socket, head) => {
      const connection = this.#connections.get(socket)
      // An earlier request is not answered yet: the connection can neither be upgraded nor carry a refusal.
      if (!connection || connection.pending > 0) socket.destroy()
      else
        tunnel(this.#requests, connection.scope, request, socket, head).catch((error) =>
          this.#fail(socket, error),
        )
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const connection = this.#connections.get(socket)
      const refusal = refusalOfParser(error.code ?? '')
      if (!connection || !refusal || !socket.writable || connection.pending > 0) socket.destroy()
      else this.#reject(connection, socket, '', refusal, 'Bad Request')
    })
  }

  #enqueue(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    const { socket } = request
    const connection = this.#connections.get(socket)
    if (!connection || ++connection.pending > MAX_PIPELINED) {
      socket.destroy()
      return
    }
    const downstream = new Http1Downstream(request, response, expectsContinue)
    connection.tail = connection.tail
      .then(() => {
        if (socket.destroyed || socket.writableEnded) return undefined
        return this.#requests.serve(connection.scope, downstream)
      })
      .catch((error) => this.#fail(socket, error))
      .then(() => {
        connection.pending--
      })
  }

  /** Answers what is no request that could be served, and ends the connection. */
  #reject({ scope }: Connection, socket: Duplex, method: string, refusal: Refusal, statusText: string): void {
    scope.isUsed = true
    this.#requests.record(scope, { method }, Date.now(), { rule: 'http' }, refusedOutcome(refusal))
    socket.on('error', () => {})
    socket.end(refusalText(refusal, statusText), () => socket.destroy())
  }

  #fail(socket: Duplex, error: unknown): void {
    this.#onFailure(error)
    socket.destroy()
  }
}

/** Returns undefined for an error of the connection instead of a message. */
function refusalOfParser(code: string): Refusal | undefined {
  if (code === 'HPE_HEADER_OVERFLOW')
    return { ...badRequest(`the head is larger than ${MAX_HEADER_BYTES} bytes`), status: 431 }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return { ...badRequest('the head did not arrive in time'), status: 408 }
  return code.startsWith('HPE_') ? badRequest(`the bytes are not a request in HTTP/1.1 (${code})`) : undefined
}
