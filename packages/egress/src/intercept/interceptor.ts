import { createSecureContext, getCACertificates, type SecureContext, TLSSocket } from 'node:tls'
import { systemCertificates } from '@sandlot/certificates'
import type { AcceptedConnection, HttpContext, Interceptor } from '../connection.ts'
import { Origins } from '../http/origins.ts'
import { type RequestScope, Requests } from '../http/requests.ts'
import { Http1Connections } from '../http1/connections.ts'
import { hostName } from '../names.ts'
import { Relays } from '../relay/relays.ts'
import type { EgressAuthority } from './authority.ts'
import { Http2Connections } from './http2-connections.ts'

const HANDSHAKE_TIMEOUT_MS = 10_000
/** Alerts by which a client says that it does not trust the certificate (RFC 8446, 6.2). */
const REJECTION =
  /ALERT_(UNKNOWN_CA|CERTIFICATE_UNKNOWN|BAD_CERTIFICATE|CERTIFICATE_EXPIRED|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)/

export interface ClosableInterceptor extends Interceptor {
  close(): void
}

/** Terminates TLS of sandboxes with certificates of `authority`, and forwards each request with the headers of its rule. */
export async function createInterceptor(
  context: HttpContext,
  authority: EgressAuthority,
  options: { idleTimeoutMs?: number } = {},
): Promise<ClosableInterceptor> {
  const trusted = await upstreamContext(context.upstreamCas)
  return new TlsInterceptor(context, authority, trusted, options.idleTimeoutMs)
}

class TlsInterceptor implements ClosableInterceptor {
  readonly #context: HttpContext
  readonly #authority: EgressAuthority
  readonly #http1: Http1Connections
  readonly #http2: Http2Connections
  readonly #relays: Relays

  constructor(
    context: HttpContext,
    authority: EgressAuthority,
    trusted: SecureContext,
    idleTimeoutMs: number | undefined,
  ) {
    this.#context = context
    this.#authority = authority
    const requests = new Requests(context, new Origins(context.dial, trusted), idleTimeoutMs)
    const onFailure = (error: unknown) => {
      context.log.error({ err: error }, 'a request of a sandbox could not be served')
    }
    this.#http1 = new Http1Connections(requests, onFailure)
    this.#http2 = new Http2Connections(requests, onFailure)
    this.#relays = new Relays(requests, onFailure)
  }

  serve(connection: AcceptedConnection, name: string, head: Buffer): void {
    const { socket } = connection
    // TLS announces its end, so a bare end of the connection means that the client has gone.
    socket.allowHalfOpen = false
    socket.setNoDelay(true)
    socket.on('error', () => socket.destroy())
    connection.decidedFor = { name }
    this.#authority.contextFor(name).then(
      (context) => {
        if (!socket.destroyed) this.#shake(connection, name, head, context)
      },
      (error) => {
        this.#context.log.error({ err: error, serverName: name }, 'no certificate could be issued')
        this.#recordFailure(connection, name, 'certificate_unavailable')
        socket.destroy()
      },
    )
  }

  close(): void {
    this.#http1.close()
    this.#http2.close()
    this.#relays.close()
  }

  #shake(connection: AcceptedConnection, name: string, head: Buffer, secureContext: SecureContext): void {
    const { socket } = connection
    socket.unshift(head)
    const tls = new TLSSocket(socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: ['h2', 'http/1.1'],
    })
    let isOver = false
    const fail = (reason: string): void => {
      clearTimeout(timer)
      if (!isOver) this.#recordFailure(connection, name, reason)
      isOver = true
      tls.destroy()
      socket.destroy()
    }
    const timer = setTimeout(() => fail('tls_timeout'), HANDSHAKE_TIMEOUT_MS)
    tls.on('error', ({ code = '' }: NodeJS.ErrnoException) =>
      fail(REJECTION.test(code) ? 'tls_rejected_by_client' : 'tls_failed'),
    )
    // Node's TLS client, for one, closes the connection without an alert when it has seen a certificate that it does not trust.
    tls.once('close', () =>
      fail(
        tls.bytesWritten > 0 || socket.bytesWritten > 0 ? 'tls_rejected_by_client' : 'tls_closed_by_client',
      ),
    )
    tls.once('secure', () => {
      clearTimeout(timer)
      if (isOver) return
      if (hostName(String(tls.servername)) !== name) {
        fail('server_name_changed')
        return
      }
      isOver = true
      // as `tls.Server` does, which cannot be used: it does not tell which connection a socket of TLS belongs to
      Object.assign(tls, { secureConnecting: false })
      this.#serveRequests(tls, { connection, serverName: name })
    })
  }

  #serveRequests(tls: TLSSocket, scope: RequestScope): void {
    const { connection, serverName = '' } = scope
    tls.once('close', () => {
      connection.socket.destroy()
      // a client that pins certificates may look at ours only after the handshake
      if (!scope.isUsed) this.#recordFailure(connection, serverName, 'closed_without_request')
    })
    this.#accept(tls, scope).catch((error) => {
      // the client has gone meanwhile
      this.#context.log.debug({ err: error }, 'a connection of a sandbox could not be served')
      tls.destroy()
    })
  }

  async #accept(tls: TLSSocket, scope: RequestScope): Promise<void> {
    if (tls.alpnProtocol !== 'h2') this.#http1.accept(tls, scope)
    else if (!(await this.#relays.accept(tls, scope))) this.#http2.accept(tls, scope)
  }

  #recordFailure(connection: AcceptedConnection, name: string, reason: string): void {
    const { rule } = connection.policy().decide(name, connection.address)
    this.#context.recorder.record(connection, {
      protocol: 'tls',
      name,
      bytesOut: connection.socket.bytesRead,
      bytesIn: connection.socket.bytesWritten,
      verdict: 'failed',
      rule,
      reason,
    })
  }
}

/** Returns what upstream servers are verified with: the authorities of Node and of the system, and extra ones. */
async function upstreamContext(extra: string[]): Promise<SecureContext> {
  const system = (await systemCertificates()).match(
    /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g,
  )
  const ca = [...new Set([...getCACertificates('default'), ...(system ?? []), ...extra])]
  return createSecureContext({ ca, minVersion: 'TLSv1.2' })
}
