import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from 'node:http'
import { createServer as createHttp2Server, type Http2Server } from 'node:http2'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { SandlotError } from '@sandlot/protocol'
import type { CertificateStore } from './certificate-store.ts'
import { ConnectionLimits, type ConnectionLimitsOptions } from './connection-limits.ts'
import { hasAmbiguousHost } from './host-check.ts'
import type { EdgeRequest, EdgeResponse } from './message.ts'
import { OpenRequests, type RequestConnection, Sessions } from './open-requests.ts'
import { ambiguousHost, sendRefusal } from './refusal.ts'
import { MAX_HEADER_BYTES } from './sandbox-connections.ts'
import { refuseUpgrade } from './tunnel.ts'
import { Turnstile } from './turn-away.ts'

export interface ListenerOptions extends ConnectionLimitsOptions {
  /** Addresses to listen on, e.g. `['127.0.0.1', '::1']`. IPv6 addresses are left out on a machine without IPv6. */
  hosts: string[]
  /** Port to listen on; 0 means any port that is free on all hosts. */
  port: number
  tls: CertificateStore
  onRequest: (request: EdgeRequest, response: EdgeResponse, connection: RequestConnection) => void
  onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void
  /** Called when a handler threw. The listener ends the connection of that request, and no other. */
  onFailure?: (error: unknown) => void
  /** Longest time from the first byte of a connection, or of a request, to the end of the head. Default 15 000. */
  headTimeoutMs?: number
  /** Longest time to the first byte of a connection, and for the TLS handshake. Default 10 000. */
  openTimeoutMs?: number
  /** How long a connection may be idle after a request whose handler called `endSoon`. Default 120 000. */
  shortIdleMs?: number
}

export interface Listener {
  port: number
  /** Stops accepting connections, waits up to `graceMs` for pending requests, then breaks them. */
  close(graceMs: number): Promise<void>
}

const TLS_HANDSHAKE_RECORD = 0x16
/** Equals the edge's idle timeout of a request, so that clients may keep their connections (wire spec 3). */
const IDLE_CONNECTION_MS = 620_000
const CONTEXT_CHECK_MS = 3_600_000
const ANY_PORT_ATTEMPTS = 20

/**
 * Listens on one port for HTTP/1.1, and for TLS with HTTP/2 or HTTP/1.1; the first byte decides.
 * @throws SandlotError conflict: the port is taken, or this process may not listen on it
 */
export async function createListener(options: ListenerOptions): Promise<Listener> {
  const listener = new PortListener(options)
  await listener.open()
  return listener
}

class PortListener implements Listener {
  readonly #options: ListenerOptions
  readonly #openTimeoutMs: number
  readonly #openRequests: OpenRequests
  readonly #sessions: Sessions
  readonly #limits: ConnectionLimits
  readonly #turnstile = new Turnstile()
  readonly #sockets = new Set<Socket>()
  readonly #http1: HttpServer
  readonly #http2: Http2Server
  #tls!: SecureServer
  #servers: Server[] = []
  #isClosing = false
  /** Called when the last connection has ended, while the listener closes. */
  #onEmpty: (() => void) | undefined

  constructor(options: ListenerOptions) {
    const { headTimeoutMs = 15_000, openTimeoutMs = 10_000, shortIdleMs = 120_000 } = options
    const idle = { longMs: IDLE_CONNECTION_MS, shortMs: shortIdleMs }
    this.#options = options
    this.#openTimeoutMs = openTimeoutMs
    this.#openRequests = new OpenRequests(idle)
    this.#sessions = new Sessions(idle)
    this.#limits = new ConnectionLimits(options)
    this.#http1 = createPlainServer(options, headTimeoutMs)
    this.#http2 = createSessionServer()
    this.#handleRequests()
  }

  get port(): number {
    return (this.#servers[0]!.address() as AddressInfo).port
  }

  async open(): Promise<void> {
    const { tls, hosts, port } = this.#options
    this.#tls = await createSecureServer(tls, this.#openTimeoutMs, (socket, isHttp2) =>
      (isHttp2 ? this.#http2 : this.#http1).emit('connection', socket),
    )
    this.#servers = await listenOnAll(hosts, port, (socket) => this.#accept(socket))
    // These servers never listen themselves, as the first byte is read before; this event starts their head timeout check.
    this.#http1.emit('listening')
  }

  async close(graceMs: number): Promise<void> {
    this.#isClosing = true
    this.#tls.stop()
    for (const server of this.#servers) server.close()
    for (const session of this.#sessions.all()) session.close()
    this.#http1.closeIdleConnections()
    if (this.#sockets.size > 0)
      await Promise.race([new Promise<void>((resolve) => (this.#onEmpty = resolve)), sleep(graceMs)])
    for (const session of this.#sessions.all()) session.destroy()
    this.#sessions.stop()
    for (const socket of this.#sockets) socket.destroy()
    this.#http1.close()
  }

  #handleRequests(): void {
    this.#http1.on('request', (request, response) => {
      response.once('close', () => {
        if (this.#isClosing) setImmediate(() => this.#http1.closeIdleConnections())
      })
      const connection = this.#openRequests.add(request, response)
      if (connection) this.#pass(request, response, connection)
    })
    this.#http2.on('request', (request, response) =>
      this.#pass(request, response, this.#sessions.connectionOf(request.stream)),
    )
    this.#http2.on('session', (session) => {
      session.setLocalWindowSize(8 * 1024 * 1024)
      this.#sessions.add(session)
      if (this.#isClosing) session.close()
    })
  }

  #pass(request: EdgeRequest, response: EdgeResponse, connection: RequestConnection): void {
    if (hasAmbiguousHost(request)) {
      connection.endSoon()
      sendRefusal(request, response, ambiguousHost())
    } else
      contained(this.#options, 'stream' in request ? request.stream : request.socket, () =>
        this.#options.onRequest(request, response, connection),
      )
  }

  #accept(socket: Socket): void {
    const place = this.#limits.take(socket.remoteAddress)
    if (typeof place === 'object') {
      this.#turnstile.turnAway(socket, place)
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => {
      place()
      this.#sockets.delete(socket)
      if (this.#sockets.size === 0) this.#onEmpty?.()
    })
    const giveUp = () => socket.destroy()
    socket.on('error', giveUp)
    socket.setTimeout(this.#openTimeoutMs, giveUp)
    socket.once('readable', () => {
      const start: Buffer | null = socket.read()
      if (start === null) {
        socket.destroy()
        return
      }
      socket.setTimeout(0, giveUp)
      socket.unshift(start)
      this.#serve(socket, start[0] === TLS_HANDSHAKE_RECORD)
    })
  }

  #serve(socket: Socket, isTls: boolean): void {
    // TLS and HTTP/2 announce their end, so a bare end of the connection means that the client has gone. HTTP/1.1
    // clients may end their half after they have sent the request.
    if (isTls) socket.allowHalfOpen = false
    ;(isTls ? this.#tls.server : this.#http1).emit('connection', socket)
  }
}

/** Catches an error of a handler, which would otherwise end the process and all other requests. */
function contained(
  { onFailure }: ListenerOptions,
  connection: { destroy(): unknown },
  work: () => void,
): void {
  try {
    work()
  } catch (error) {
    onFailure?.(error)
    connection.destroy()
  }
}

function createPlainServer(options: ListenerOptions, headTimeoutMs: number): HttpServer {
  const server = createHttpServer({
    headersTimeout: headTimeoutMs,
    // Uploads may take any time; the edge's idle timeout bounds them.
    requestTimeout: 0,
    keepAliveTimeout: IDLE_CONNECTION_MS,
    connectionsCheckingInterval: Math.min(headTimeoutMs, 5_000),
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
    // Java's HttpClient offers h2c on every request, and this server does not accept the offer. A request with
    // a body is forwarded as an ordinary request too (RFC 9110, 7.8 lets a server ignore the offer).
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() !== 'h2c' && !hasBody(request),
  })
  server.on('upgrade', (request, socket, head) => {
    // The upgrade arrived before an earlier request was answered: the connection can neither be upgraded nor
    // carry a refusal.
    if (isAnswering(request.socket)) socket.destroy()
    else if (hasAmbiguousHost(request)) refuseUpgrade(request, socket, ambiguousHost())
    else contained(options, socket, () => options.onUpgrade(request, socket, head))
  })
  return server
}

/** Node keeps the current answer of a connection in `_httpMessage`, and throws when a second one is assigned. */
const isAnswering = (socket: Socket): boolean =>
  (socket as Socket & { _httpMessage?: unknown })._httpMessage != null

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

function createSessionServer(): Http2Server {
  const server = createHttp2Server({
    settings: {
      maxConcurrentStreams: 1000,
      initialWindowSize: 1024 * 1024,
      maxHeaderListSize: MAX_HEADER_BYTES,
    },
    /** Megabytes; 1000 streams that wait for their client do not fit in the default of 10. */
    maxSessionMemory: 64,
    // Rapid reset (CVE-2023-44487): limits cancelled streams to a burst, and then to a rate per second.
    streamResetBurst: 1000,
    streamResetRate: 100,
  })
  server.on('sessionError', () => {})
  return server
}

interface SecureServer {
  server: TlsServer
  stop: () => void
}

async function createSecureServer(
  store: CertificateStore,
  handshakeTimeout: number,
  onSocket: (socket: Socket, isHttp2: boolean) => void,
): Promise<SecureServer> {
  const server = createTlsServer({
    ALPNProtocols: ['h2', 'http/1.1'],
    handshakeTimeout,
    minVersion: 'TLSv1.2',
    SNICallback: (name, done) => {
      store.contextFor(name).then((context) => done(null, context), done)
    },
  })
  /** Clients that name no host, or an unknown one, get the server's default certificate. */
  const refresh = async () => {
    const { certificatePem: cert, keyPem: key } = await store.defaultLeaf()
    server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' })
  }
  await refresh()
  const timer = setInterval(() => refresh().catch(() => {}), CONTEXT_CHECK_MS).unref()
  server.on('secureConnection', (socket) => onSocket(socket, socket.alpnProtocol === 'h2'))
  // Node reports a handshake that takes too long, and leaves the connection open.
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return { server, stop: () => clearInterval(timer) }
}

async function listenOnAll(
  hosts: string[],
  port: number,
  accept: (socket: Socket) => void,
): Promise<Server[]> {
  for (let attempt = 1; ; attempt++) {
    const servers: Server[] = []
    try {
      let chosen = port
      for (const host of hosts) {
        const server = createServer({ allowHalfOpen: true, noDelay: true }, accept)
        if (!(await listen(server, host, chosen))) continue
        servers.push(server)
        chosen = (server.address() as AddressInfo).port
      }
      if (servers.length === 0)
        throw new SandlotError('conflict', `none of ${hosts.join(', ')} is an address of this machine`)
      return servers
    } catch (error) {
      for (const server of servers) server.close()
      const { code, message } = error as NodeJS.ErrnoException
      // A port that is free on one address may be in use on the next.
      if (port === 0 && code === 'EADDRINUSE' && attempt < ANY_PORT_ATTEMPTS) continue
      if (error instanceof SandlotError) throw error
      throw new SandlotError('conflict', `cannot listen on port ${port} of ${hosts.join(', ')}: ${message}`, {
        cause: error,
      })
    }
  }
}

/** @returns false when the machine has no such IPv6 address */
function listen(server: Server, host: string, port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const isMissing = error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT'
      if (isMissing && host.includes(':')) resolve(false)
      else reject(error)
    })
    server.listen({ host, port, ipv6Only: host.includes(':'), backlog: 4096 }, () => resolve(true))
  })
}
