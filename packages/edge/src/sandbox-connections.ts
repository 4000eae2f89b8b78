import { Agent, type AgentOptions, request as httpRequest } from 'node:http'
import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ENVD_PORT } from '@sandlot/protocol'
import type { Holding } from './connect-messages.ts'
import { type Dial, dialPort, PortClosedError } from './dial.ts'
import { secured } from './dial-tls.ts'
import type { Parting } from './parting.ts'
import { hostName } from './route.ts'
import { onUnwantedAnswer } from './unwanted-answer.ts'

/**
 * Servers of users often close connections after 5 idle seconds (Node, uvicorn), so the edge closes connections
 * earlier.
 */
const IDLE_USER_CONNECTION_MS = 4_000
const IDLE_ENVD_CONNECTION_MS = 600_000
const MAX_IDLE_CONNECTIONS = 64
const FORWARD_TIMEOUT_MS = 500
const MAX_FORWARD_ANSWER_BYTES = 4 * 1024
/** How long envd's answer about a port is reused, in milliseconds. */
const FORWARD_SHARED_MS = 250
/** Equals the listener's limit: the head of a sandbox's answer may be as large as that of a client's request. */
export const MAX_HEADER_BYTES = 64 * 1024

type Abort = (parting?: Parting) => void

/** Ports whose servers speak TLS. */
export interface TlsPorts {
  ports: readonly number[]
  /**
   * Host that TLS names for a port, with or without a port. Not the one that a client requests, as requests of different
   * clients share connections.
   */
  hostOf: (port: number) => string
}

/** Tracks all open connections between the edge and one sandbox, so that all can be broken at once. */
export class SandboxConnections {
  readonly address: string
  /** Bytes of incomplete messages that are held back. */
  readonly holding: Holding = { bytes: 0 }
  readonly #dial: Dial
  readonly #tls: TlsPorts | undefined
  readonly #abortions = new Set<Abort>()
  readonly #sockets = new Set<Socket>()
  readonly #forwarding = new Map<number, Promise<void>>()
  readonly #envdAgent: DialingAgent
  readonly #userAgent: DialingAgent
  #isGone = false

  constructor(address: string, dial: Dial, tls?: TlsPorts) {
    this.address = address
    this.#dial = dial
    this.#tls = tls
    this.#envdAgent = new DialingAgent((port) => this.#open(port), IDLE_ENVD_CONNECTION_MS)
    this.#userAgent = new DialingAgent((port) => this.#open(port), IDLE_USER_CONNECTION_MS)
  }

  /** Number of pending requests and open tunnels. */
  get activeCount(): number {
    return this.#abortions.size
  }

  get isGone(): boolean {
    return this.#isGone
  }

  /** @returns a function to call when the request or tunnel has ended */
  track(abort: Abort): () => void {
    this.#abortions.add(abort)
    return () => this.#abortions.delete(abort)
  }

  /** Returns the agent with kept-alive connections to a port. */
  agentFor(port: number): Agent {
    return port === ENVD_PORT ? this.#envdAgent : this.#userAgent
  }

  /** Returns an agent that opens a new connection for each request. */
  freshAgent(): Agent {
    return new DialingAgent((port) => this.#open(port))
  }

  /** Ends all requests and tunnels, as the sandbox is gone. Without a parting all connections just break. */
  destroy(parting?: Parting): void {
    this.#isGone = true
    for (const abort of this.#abortions) abort(parting)
    this.#abortions.clear()
    for (const socket of this.#sockets) socket.destroy()
    this.#envdAgent.destroy()
    this.#userAgent.destroy()
  }

  async #open(port: number): Promise<Socket> {
    const forward = port === ENVD_PORT ? undefined : () => this.#forwardOnce(port)
    const socket = await dialPort(this.#dial, this.address, port, forward)
    if (this.#isGone) {
      socket.destroy()
      throw new PortClosedError('the sandbox is gone')
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    if (!this.#tls?.ports.includes(port)) return socket
    const host = hostName(this.#tls.hostOf(port))
    return secured(socket, isIP(host) ? '' : host)
  }

  /** Concurrent requests for one port share one request to envd. */
  #forwardOnce(port: number): Promise<void> {
    let forwarding = this.#forwarding.get(port)
    if (!forwarding) {
      forwarding = this.#askToForward(port)
      this.#forwarding.set(port, forwarding)
      setTimeout(() => this.#forwarding.delete(port), FORWARD_SHARED_MS).unref()
    }
    return forwarding
  }

  /** Resolves whatever envd answers: only a connection shows whether the port is open. */
  #askToForward(port: number): Promise<void> {
    return new Promise((resolve) => {
      const body = JSON.stringify({ port })
      const request = httpRequest({
        agent: this.#envdAgent,
        host: this.address,
        port: ENVD_PORT,
        method: 'POST',
        path: '/forward',
        headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        signal: AbortSignal.timeout(FORWARD_TIMEOUT_MS),
        maxHeaderSize: MAX_FORWARD_ANSWER_BYTES,
      })
      request.once('close', resolve)
      request.once('error', () => {})
      // envd answers with a bare status; a longer answer comes from something in envd's place and is not read
      request.once('response', (response) => {
        let receivedBytes = 0
        response.on('error', () => {})
        response.on('data', (chunk: Buffer) => {
          receivedBytes += chunk.length
          if (receivedBytes > MAX_FORWARD_ANSWER_BYTES) request.destroy()
        })
      })
      onUnwantedAnswer(request, { mayUpgrade: false }, () => request.destroy())
      request.end(body)
    })
  }
}

class DialingAgent extends Agent {
  readonly #open: (port: number) => Promise<Socket>

  /** Makes an agent; without `idleMs` each connection is used once. */
  constructor(open: (port: number) => Promise<Socket>, idleMs?: number) {
    super({
      keepAlive: idleMs !== undefined,
      timeout: idleMs,
      maxFreeSockets: MAX_IDLE_CONNECTIONS,
    } satisfies AgentOptions)
    this.#open = open
  }

  override createConnection(
    options: { port?: number | string | null },
    done: (error: Error | null, socket?: Duplex) => void,
  ): undefined {
    this.#open(Number(options.port)).then(
      (socket) => done(null, socket),
      (error) => done(error),
    )
  }
}
