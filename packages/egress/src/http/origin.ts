import { Agent } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import { type Dial, DialError, type Target } from '../connection.ts'
import { IDLE_CONNECTION_MS, KeptConnections, MAX_IDLE_CONNECTIONS } from '../http1/kept-connections.ts'
import { ServerConnection } from '../http1/server-connection.ts'
import { type AnswerListener, MAX_HEADER_BYTES, type UpstreamHead, type UpstreamRequest } from './message.ts'
import { StaleConnectionError, sendHttp1 } from './upstream1.ts'
import { sendHttp2 } from './upstream2.ts'

/** Servers announce the end of a session in HTTP/2, so that no request is lost. */
const IDLE_SESSION_MS = 30_000
const MAX_SESSIONS = 8
/** A failure to connect holds for requests that have waited for the connection. */
const FAILURE_HOLDS_MS = 1_000
const CONNECT_TIMEOUT_MS = 35_000
const HANDSHAKE_TIMEOUT_MS = 10_000
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024
const STREAM_WINDOW_BYTES = 1024 * 1024
const SESSION_MEMORY_MEGABYTES = 32

export interface OriginOptions {
  target: Target
  dial: Dial
  /** Absent: HTTP without encryption. */
  tls?: { context: SecureContext; serverName: string }
}

/** The connections of one sandbox to one server. They are opened when requests need them, and closed when idle. */
export class Origin {
  readonly #options: OriginOptions
  readonly #agent: Agent
  /** Opens a new connection for each request. */
  readonly #freshAgent: Agent
  /** For clients of HTTP/1.1. */
  readonly #kept = new KeptConnections()
  readonly #sessions: OpenSession[] = []
  #speaksHttp1Only: boolean
  /** A connection that was opened to learn which protocol the server speaks. */
  #spare: TLSSocket | undefined
  #opening: Promise<OpenSession | undefined> | undefined
  #failure: { error: unknown; untilMs: number } | undefined

  constructor(options: OriginOptions) {
    this.#options = options
    this.#speaksHttp1Only = options.tls === undefined
    const pooled = { keepAlive: true, maxFreeSockets: MAX_IDLE_CONNECTIONS, timeout: IDLE_CONNECTION_MS }
    this.#agent = new DialingAgent(() => this.#takeSpare() ?? this.#connect(['http/1.1']), pooled)
    this.#freshAgent = new DialingAgent(() => this.#connect(['http/1.1']), {})
  }

  /**
   * Begins a request.
   * @param isFresh on a new connection of HTTP/1.1, because a kept one has failed
   * @throws DialError; errors of Node when the head cannot be sent
   */
  async send(head: UpstreamHead, listener: AnswerListener, isFresh: boolean): Promise<UpstreamRequest> {
    const session = head.isHttp2 ? await this.#session() : undefined
    if (!session) return sendHttp1(isFresh ? this.#freshAgent : this.#agent, head, listener)
    return session.send(head, listener)
  }

  /**
   * Returns a connection of HTTP/1.1 for one request, after which it goes back with `keepConnection`.
   * @param isFresh a new one, because a kept one has failed, or because it will not come back
   * @param gone aborted when nobody waits for the connection: a sandbox could have any number of attempts otherwise
   * @throws DialError
   */
  async takeConnection(isFresh: boolean, gone: AbortSignal): Promise<ServerConnection> {
    const kept = isFresh ? undefined : this.#kept.take()
    if (kept) return kept
    return new ServerConnection(await (this.#takeSpare() ?? this.#connect(['http/1.1'], gone)))
  }

  /** Keeps a connection for another request, or closes it when it cannot serve one. */
  keepConnection(connection: ServerConnection): void {
    this.#kept.put(connection)
  }

  /**
   * Opens a connection for a client of HTTP/2 alone.
   * @returns undefined when the server speaks HTTP/1.1 only, or cannot be reached: then `send` fails for that reason
   */
  async openHttp2(): Promise<TLSSocket | undefined> {
    if (this.#speaksHttp1Only) return undefined
    try {
      return await this.#connectHttp2()
    } catch (error) {
      this.#failure = { error, untilMs: Date.now() + FAILURE_HOLDS_MS }
      return undefined
    }
  }

  /** Returns a session with room for a request; undefined when the server speaks HTTP/1.1 only. */
  async #session(): Promise<OpenSession | undefined> {
    if (this.#speaksHttp1Only) return undefined
    const open = this.#sessions.find(({ hasRoom }) => hasRoom)
    if (open) return open
    // a full session queues requests until streams have ended
    if (this.#sessions.length >= MAX_SESSIONS) return this.#sessions[0]
    this.#opening ??= this.#openSession().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openSession(): Promise<OpenSession | undefined> {
    const socket = await this.#connectHttp2()
    if (!socket) return undefined
    const session = new OpenSession(socket, this.#options.tls!.serverName)
    this.#sessions.push(session)
    session.onClose(() => this.#sessions.splice(this.#sessions.indexOf(session), 1))
    return session
  }

  async #connectHttp2(): Promise<TLSSocket | undefined> {
    const socket = (await this.#connect(['h2', 'http/1.1'])) as TLSSocket
    if (socket.alpnProtocol === 'h2') return socket
    this.#speaksHttp1Only = true
    this.#spare?.destroy()
    this.#spare = socket
    socket.setTimeout(IDLE_CONNECTION_MS, () => socket.destroy())
    socket.once('close', () => {
      if (this.#spare === socket) this.#spare = undefined
    })
    return undefined
  }

  #takeSpare(): Promise<Socket> | undefined {
    const spare = this.#spare
    this.#spare = undefined
    spare?.setTimeout(0).removeAllListeners('timeout')
    return spare && !spare.destroyed ? Promise.resolve(spare) : undefined
  }

  async #connect(protocols: string[], gone?: AbortSignal): Promise<Socket> {
    const { dial, target, tls } = this.#options
    if (this.#failure && this.#failure.untilMs > Date.now()) throw this.#failure.error
    this.#failure = undefined
    const late = AbortSignal.timeout(CONNECT_TIMEOUT_MS)
    const socket = await dial(target, gone ? AbortSignal.any([late, gone]) : late)
    // a server that has ended its half would keep an idle connection open, which the next request would then use
    socket.allowHalfOpen = false
    socket.setNoDelay(true)
    socket.on('error', () => {})
    if (!tls) return socket
    return handshake(
      connectTls({
        socket,
        servername: tls.serverName,
        secureContext: tls.context,
        ALPNProtocols: protocols,
        rejectUnauthorized: true,
      }),
      gone,
    )
  }
}

/** @throws DialError */
function handshake(socket: TLSSocket, gone?: AbortSignal): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string, message: string, cause?: Error): void => {
      stop()
      socket.destroy()
      reject(new DialError(reason, message, { cause }))
    }
    const timer = setTimeout(
      () => fail('timed_out', `no TLS handshake within ${HANDSHAKE_TIMEOUT_MS / 1000} s`),
      HANDSHAKE_TIMEOUT_MS,
    )
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const isUntrusted = socket.authorizationError !== null && socket.authorizationError !== undefined
      fail(isUntrusted ? 'upstream_certificate_invalid' : 'upstream_tls_failed', tlsMessage(error), error)
    })
    socket.once('close', () => fail('upstream_tls_failed', 'the server closed the connection'))
    const onGone = () => fail('connect_timeout', 'nobody waits for the server')
    const stop = () => {
      clearTimeout(timer)
      gone?.removeEventListener('abort', onGone)
    }
    gone?.addEventListener('abort', onGone)
    if (gone?.aborted) onGone()
    socket.once('secureConnect', () => {
      stop()
      socket.setNoDelay(true)
      resolve(socket)
    })
  })
}

/** Keeps the code and the reason of OpenSSL, without file names and lines. */
const tlsMessage = ({ code, message }: NodeJS.ErrnoException): string =>
  `${/[\n:]/.test(message) && code ? code : message}`.slice(0, 200)

class DialingAgent extends Agent {
  readonly #open: () => Promise<Duplex>

  constructor(open: () => Promise<Duplex>, options: ConstructorParameters<typeof Agent>[0]) {
    super(options)
    this.#open = open
  }

  override createConnection(
    _options: unknown,
    done: (error: Error | null, socket?: Duplex) => void,
  ): undefined {
    this.#open().then(
      (socket) => done(null, socket),
      (error) => done(error),
    )
  }
}

/** A session in HTTP/2, which closes when it is idle. */
class OpenSession {
  readonly #session: ClientHttp2Session
  #streams = 0
  #idleTimer: NodeJS.Timeout

  constructor(socket: TLSSocket, serverName: string) {
    this.#session = connectHttp2(`https://${serverName}`, {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: MAX_HEADER_BYTES,
      },
      maxSessionMemory: SESSION_MEMORY_MEGABYTES,
    })
    this.#session.on('error', () => {})
    this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    this.#idleTimer = this.#closeLater()
  }

  get hasRoom(): boolean {
    const { closed, destroyed, remoteSettings } = this.#session
    return !closed && !destroyed && this.#streams < (remoteSettings?.maxConcurrentStreams ?? 100)
  }

  send(head: UpstreamHead, listener: AnswerListener): UpstreamRequest {
    if (this.#session.closed || this.#session.destroyed)
      throw new StaleConnectionError('the session has ended')
    const request = sendHttp2(this.#session, head, listener)
    this.#streams++
    clearTimeout(this.#idleTimer)
    request.sink.once('close', () => {
      if (--this.#streams === 0) this.#idleTimer = this.#closeLater()
    })
    return request
  }

  onClose(listener: () => void): void {
    this.#session.once('close', () => {
      clearTimeout(this.#idleTimer)
      listener()
    })
  }

  #closeLater = (): NodeJS.Timeout => setTimeout(() => this.#session.close(), IDLE_SESSION_MS).unref()
}
