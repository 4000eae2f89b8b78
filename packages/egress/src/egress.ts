import type { Socket } from 'node:net'
import type { Egress, EgressCredentials } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { HttpContext } from './connection.ts'
import { createDial } from './dial.ts'
import { Queries } from './dns/queries.ts'
import { startDnsServer } from './dns/server.ts'
import type { UpstreamServer } from './dns/upstream.ts'
import { createHttpGate } from './http/gate.ts'
import type { EgressAuthority } from './intercept/authority.ts'
import { createInterceptor } from './intercept/interceptor.ts'
import { compilePolicy } from './policy.ts'
import { ClosedRanges } from './ranges.ts'
import { Recorder } from './recorder.ts'
import { NameResolver } from './resolve.ts'
import { Sandboxes } from './sandboxes.ts'
import { TcpProxy } from './tcp-proxy.ts'
import { listenTransparently } from './transparent-listener.ts'

const DNS_LISTEN = { address: '169.254.53.53', port: 0 }
const MAX_QUERIES_PER_SANDBOX = 100
const MAX_QUERIES = 2_000

export interface EgressOptions {
  log: Logger
  credentials: EgressCredentials
  /** Signs for names with transforms (`openEgressAuthority`); sandboxes must trust it. */
  authority: EgressAuthority
  /** Resolvers of the host, IPv4 addresses with `:port` unless it is 53. */
  dns: string[]
  /** IPv4 CIDR blocks that no sandbox reaches, whatever its policy says. */
  closedRanges: string[]
  /** The administrator's exceptions. Default: none. */
  allowedRanges?: string[]
  /**
   * Networks and addresses of the host, closed like `closedRanges`; its addresses, without a prefix length, also to
   * exceptions. Called for every decision: return the array of the last call while nothing has changed. Default: none.
   */
  hostNetworks?: () => string[]
  /** CIDR block from which sandboxes have their addresses, closed to exceptions too. Default: none. */
  sandboxRange?: string
  /** Where the resolver for sandboxes listens. Default: 169.254.53.53, any port. */
  dnsListen?: { address: string; port: number }
  /** PEM of authorities that are trusted for upstream servers beside the system's. Default: none. */
  upstreamCas?: string[]
  /** Open connections of one sandbox. Default: 2,500. */
  maxConnections?: number
  /** Open connections of all sandboxes. Default: 20,000, which takes 40,000 file descriptors. */
  maxConnectionsInTotal?: number
  /** For the lookup, the connection and a proxy's handshake together. Default: 30 s. */
  dialTimeoutMs?: number
  /** For the first bytes on the ports 80 and 443; then the address decides. Default: 10 s. */
  headTimeoutMs?: number
  /** Time without bytes after which a connection is cut. Default: an hour; dead peers are found by TCP keep-alive. */
  idleTimeoutMs?: number
}

/** Starts the proxy and the resolver. @throws SandlotError firewall_unavailable */
export async function createEgress(options: EgressOptions): Promise<Egress> {
  const { closedRanges, allowedRanges = [], hostNetworks, sandboxRange } = options
  const closed = new ClosedRanges(closedRanges, allowedRanges, hostNetworks, sandboxRange)
  const recorder = new Recorder()
  const sandboxes = new Sandboxes()
  const resolver = new NameResolver(options.dns)
  const dial = createDial({ resolver, closed, timeoutMs: options.dialTimeoutMs ?? 30_000 })
  const context: HttpContext = {
    ...{ dial, recorder, credentials: options.credentials, log: options.log },
    upstreamCas: options.upstreamCas ?? [],
  }
  const httpGate = createHttpGate(context)
  const interceptor = await createInterceptor(context, options.authority)
  const proxy = new TcpProxy({
    ...{ sandboxes, recorder, dial, httpGate, interceptor, log: options.log },
    maxConnections: options.maxConnections ?? 2_500,
    maxConnectionsInTotal: options.maxConnectionsInTotal ?? 20_000,
    headTimeoutMs: options.headTimeoutMs ?? 10_000,
    idleTimeoutMs: options.idleTimeoutMs ?? 3_600_000,
  })
  const queries = new Queries({
    ...{ recorder, closed, upstream: options.dns.map(parseServer) },
    ...{ maxPerSandbox: MAX_QUERIES_PER_SANDBOX, maxInTotal: MAX_QUERIES },
  })
  const dns = await startDnsServer(options.dnsListen ?? DNS_LISTEN, sandboxes, queries)
  const listener = await listenTransparently((socket) => acceptTransparent(proxy, socket)).catch(
    async (error) => {
      await dns.close()
      throw error
    },
  )
  return {
    proxyPort: listener.port,
    dns: { address: dns.address, port: dns.port },
    setPolicy: (address, owner, policy, closeExisting = false) =>
      sandboxes.set(address, owner, compilePolicy(policy, closed), closeExisting),
    removePolicy: (address) => sandboxes.remove(address),
    caBundle: () => options.authority.caBundle(),
    onRecord: (hook) => recorder.onRecord(hook),
    async close() {
      sandboxes.removeAll()
      httpGate.close()
      interceptor.close()
      resolver.close()
      await Promise.all([listener.close(), dns.close()])
    },
  }
}

function acceptTransparent(proxy: TcpProxy, socket: Socket): void {
  const { remoteAddress, localAddress, localPort } = socket
  if (remoteAddress === undefined || localAddress === undefined || localPort === undefined) socket.destroy()
  else proxy.accept(socket, { sandboxAddress: remoteAddress, address: localAddress, port: localPort })
}

function parseServer(text: string): UpstreamServer {
  const [address, port] = text.split(':')
  return { address: address!, port: port === undefined ? 53 : Number(port) }
}
