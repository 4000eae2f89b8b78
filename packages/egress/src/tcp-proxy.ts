import type { Socket } from 'node:net'
import type { ConnectionRecord } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { MAX_HELLO_BYTES, readClientHello } from './client-hello.ts'
import type { HttpGate, Interceptor } from './connection.ts'
import { type AcceptedConnection, type Decision, type Dial, DialError } from './connection.ts'
import { looksLikeHttp, MAX_METHOD_BYTES } from './http-start.ts'
import { RateLimiter } from './rate-limiter.ts'
import { type HeadLimits, type HeadReading, readHead } from './read-head.ts'
import type { Recorder } from './recorder.ts'
import type { Sandbox, Sandboxes } from './sandboxes.ts'
import { type SpliceEnd, splice } from './splice.ts'

const HTTP_PORT = 80
const TLS_PORT = 443
/** New connections of one sandbox: one that does nothing else than connect leaves time for the others. */
const CONNECTIONS_PER_SECOND = 1_000
const CONNECTION_BURST = 5_000
const NOTHING = Buffer.alloc(0)

export interface TcpProxyOptions {
  sandboxes: Sandboxes
  recorder: Recorder
  log: Logger
  dial: Dial
  httpGate: HttpGate
  interceptor: Interceptor
  /** Open connections of one sandbox. */
  maxConnections: number
  /** Open connections of all sandboxes. */
  maxConnectionsInTotal: number
  /** For the first bytes of a connection whose name matters; then its address decides. */
  headTimeoutMs: number
  /** Time without bytes in either direction. */
  idleTimeoutMs: number
}

/** What the first bytes of a connection told. */
interface Seen {
  protocol: 'tcp' | 'tls'
  name?: string
  head: Buffer
}

const NOTHING_SEEN: Seen = { protocol: 'tcp', head: NOTHING }

/** Where an accepted socket comes from, and where it wanted to go. */
export interface Origin {
  sandboxAddress: string
  address: string
  port: number
}

/** Decides the connections of sandboxes, and passes on those that are allowed. */
export class TcpProxy {
  readonly #options: TcpProxyOptions
  readonly #newConnections = new RateLimiter<Sandbox>(CONNECTIONS_PER_SECOND, CONNECTION_BURST)
  #openConnections = 0

  constructor(options: TcpProxyOptions) {
    this.#options = options
  }

  /** Takes a connection that the kernel has accepted. @param socket paused, with `allowHalfOpen` */
  accept(socket: Socket, { sandboxAddress, address, port }: Origin): void {
    const { sandboxes, maxConnections, maxConnectionsInTotal } = this.#options
    const sandbox = sandboxes.find(sandboxAddress)
    if (!sandbox) {
      socket.destroy()
      return
    }
    const connection: AcceptedConnection = {
      socket,
      owner: sandbox.owner,
      policy: () => sandbox.policy,
      address,
      port,
      startedAtMs: Date.now(),
    }
    socket.on('error', () => {})
    const rate = this.#newConnections.take(sandbox)
    if (!rate.mayPass) {
      if (rate.isToldNow) this.#record(connection, NOTHING_SEEN, { rule: 'connection rate' }, 'denied')
      socket.resetAndDestroy()
      return
    }
    if (sandbox.connectionCount >= maxConnections || this.#openConnections >= maxConnectionsInTotal) {
      this.#record(connection, NOTHING_SEEN, { rule: 'connection limit' }, 'denied')
      socket.resetAndDestroy()
      return
    }
    sandbox.track(connection)
    this.#openConnections++
    socket.once('close', () => this.#openConnections--)
    this.#serve(connection).catch((error) => {
      this.#options.log.error({ err: error }, 'a connection of a sandbox could not be served')
      socket.destroy()
    })
  }

  async #serve(connection: AcceptedConnection): Promise<void> {
    if (!connection.policy().readsNames) return this.#pass(connection, NOTHING_SEEN)
    if (connection.port === TLS_PORT) return this.#serveTls(connection)
    if (connection.port === HTTP_PORT) return this.#serveHttp(connection)
    return this.#pass(connection, NOTHING_SEEN)
  }

  async #serveTls(connection: AcceptedConnection): Promise<void> {
    const head = await readHead(connection.socket, readWholeHello, this.#headLimits(MAX_HELLO_BYTES))
    if (!head) return this.#recordVanished(connection)
    if (head.result?.kind !== 'hello') return this.#pass(connection, { protocol: 'tcp', head: head.bytes })
    const { name } = head.result
    const policy = connection.policy()
    const isIntercepted =
      name !== undefined &&
      policy.transformFor(name) !== undefined &&
      policy.decide(name, connection.address).isAllowed
    if (!isIntercepted) return this.#pass(connection, { protocol: 'tls', name, head: head.bytes })
    connection.decidedFor = { name }
    this.#options.interceptor.serve(connection, name, head.bytes)
  }

  async #serveHttp(connection: AcceptedConnection): Promise<void> {
    const head = await readHead(connection.socket, readHttpStart, this.#headLimits(MAX_METHOD_BYTES + 1))
    if (!head) return this.#recordVanished(connection)
    if (head.result) this.#options.httpGate.serve(connection, head.bytes)
    else return this.#pass(connection, { protocol: 'tcp', head: head.bytes })
  }

  #headLimits = (maxBytes: number): HeadLimits => ({ maxBytes, timeoutMs: this.#options.headTimeoutMs })

  /** Decides by the name, if there is one, or the address, and passes the connection on without reading it. */
  async #pass(connection: AcceptedConnection, seen: Seen): Promise<void> {
    const { socket, address, port } = connection
    connection.decidedFor = { name: seen.name }
    const policy = connection.policy()
    const decision = policy.decide(seen.name, address)
    if (!decision.isAllowed) {
      socket.resetAndDestroy()
      return this.#record(connection, seen, decision, 'denied')
    }
    const gone = new AbortController()
    socket.once('close', () => gone.abort(new Error('the client has closed the connection')))
    if (socket.destroyed) gone.abort(new Error('the client has closed the connection'))
    const target = {
      sandboxId: connection.owner.sandboxId,
      ...(decision.isByName && { name: seen.name }),
      ...{ address, port, proxy: policy.proxy },
    }
    try {
      const server = await this.#options.dial(target, gone.signal)
      const { idleTimeoutMs } = this.#options
      const end = await splice(socket, server, { head: seen.head, idleTimeoutMs })
      this.#recordEnd(connection, seen, decision, end)
    } catch (error) {
      const reason = error instanceof DialError ? error.reason : 'proxy_error'
      const isGone = socket.destroyed
      socket.resetAndDestroy()
      this.#record(connection, seen, decision, 'failed', isGone ? closedReason(connection) : reason)
    }
  }

  #recordEnd(connection: AcceptedConnection, seen: Seen, decision: Decision, end: SpliceEnd): void {
    if (connection.cutReason === 'policy_changed')
      this.#record(connection, seen, decision, 'failed', connection.cutReason)
    else if (end === 'closed') this.#record(connection, seen, decision, 'allowed')
    else this.#record(connection, seen, decision, 'failed', end)
  }

  /** The client went before it had sent enough to decide by a name. */
  #recordVanished(connection: AcceptedConnection): void {
    const decision = connection.policy().decide(undefined, connection.address)
    const reason = closedReason(connection)
    this.#record(connection, NOTHING_SEEN, decision, 'failed', reason)
  }

  #record(
    connection: AcceptedConnection,
    { protocol, name }: Seen,
    { rule }: Pick<Decision, 'rule'>,
    verdict: ConnectionRecord['verdict'],
    reason?: string,
  ): void {
    const { bytesRead, bytesWritten } = connection.socket
    this.#options.recorder.record(connection, {
      protocol,
      ...(name !== undefined && { name }),
      bytesOut: verdict === 'denied' ? 0 : bytesRead,
      bytesIn: verdict === 'denied' ? 0 : bytesWritten,
      verdict,
      rule,
      ...(reason !== undefined && { reason }),
    })
  }
}

const closedReason = ({ cutReason }: AcceptedConnection): string => cutReason ?? 'closed_by_client'

function readWholeHello(
  bytes: Buffer,
): HeadReading<Exclude<ReturnType<typeof readClientHello>, { kind: 'incomplete' }>> {
  const result = readClientHello(bytes)
  return result.kind === 'incomplete' ? { neededBytes: result.neededBytes } : { result }
}

function readHttpStart(bytes: Buffer): HeadReading<boolean> {
  const result = looksLikeHttp(bytes)
  return result === undefined ? { neededBytes: bytes.length + 1 } : { result }
}
