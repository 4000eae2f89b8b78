import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { ENVD_PORT, formatSandboxHost, type SandboxTarget } from '@sandlot/protocol'
import type { DirectoryEntry, GoneReason, SandboxDirectory } from '@sandlot/protocol/directory'
import type { Logger } from 'pino'
import { mayUseEnvd, refusalOf } from './access.ts'
import { type Dial, dialTcp } from './dial.ts'
import { downstreamOf } from './downstream.ts'
import { exchange } from './exchange.ts'
import { type RequestHeadersOptions, requestHeaders } from './headers.ts'
import { authorityOf, type EdgeRequest, type EdgeResponse, headerOf } from './message.ts'
import { partingOf } from './parting.ts'
import {
  GUEST_HOST_HEADER,
  invalidRoute,
  invalidSignature,
  invalidTarget,
  notWoken,
  type Refusal,
  resumeDenied,
  sandboxNotFound,
  sendRefusal,
  tooManyConnections,
  tooManySignatures,
  unsendable,
  upgradeOfApi,
} from './refusal.ts'
import { createRouter, type Door, hostName } from './route.ts'
import { SandboxConnections, type TlsPorts } from './sandbox-connections.ts'
import { SignerSearch } from './signer-search.ts'
import { refuseUpgrade, tunnel } from './tunnel.ts'

export interface EdgeOptions {
  directory: SandboxDirectory
  /** Domain of the hosts of sandboxes, `<port>-<id>.<domain>`; may include a port, which is ignored. */
  domain: string
  logger: Pick<Logger, 'debug'>
  /** Opens a connection to a port of a sandbox. Default: TCP, 5 s. */
  dial?: Dial
  /**
   * Maximum number of pending requests and tunnels of one sandbox; further ones are answered with 429. Default 1000.
   */
  maxConnectionsPerSandbox?: number
  /** Breaks a request or tunnel after this time without data in either direction. Default 620 000 (wire spec 3). */
  idleTimeoutMs?: number
}

/** The data plane: serves all requests for sandboxes. */
export interface Edge {
  /** Whether the request is for a sandbox; all others belong to the REST API. */
  claims(request: EdgeRequest): boolean
  /** Answers a claimed request. Every request of the door `sandboxes` is claimed. */
  handle(request: EdgeRequest, response: EdgeResponse, door?: Door): void
  /** Answers any request to change the protocol, e.g. to WebSocket. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, door?: Door): void
  /** Breaks all open requests and tunnels. */
  close(): Promise<void>
}

const PORT_PLACEHOLDER = /\$\{PORT\}/g

/** A request that may wait until its sandbox is resumed. */
interface Asleep {
  asleep: SandboxTarget
}

interface Addressed {
  target: SandboxTarget
  isShared: boolean
}

interface Admission {
  target: SandboxTarget
  connections: SandboxConnections
  headers: Pick<RequestHeadersOptions, 'host' | 'forwarded' | 'crossing'>
}

export const createEdge = (options: EdgeOptions): Edge => new SandboxEdge(options)

class SandboxEdge implements Edge {
  readonly #directory: SandboxDirectory
  readonly #logger: Pick<Logger, 'debug'>
  readonly #dial: Dial
  readonly #maxConnectionsPerSandbox: number
  readonly #idleTimeoutMs: number
  readonly #domain: string
  readonly #route: ReturnType<typeof createRouter>
  readonly #open = new Map<string, SandboxConnections>()
  readonly #signers: SignerSearch
  readonly #unsubscribe: () => void

  constructor(options: EdgeOptions) {
    this.#directory = options.directory
    this.#logger = options.logger
    this.#dial = options.dial ?? dialTcp
    this.#maxConnectionsPerSandbox = options.maxConnectionsPerSandbox ?? 1000
    this.#idleTimeoutMs = options.idleTimeoutMs ?? 620_000
    this.#domain = options.domain
    this.#route = createRouter(options.domain)
    this.#signers = new SignerSearch(options.directory)
    this.#unsubscribe = options.directory.onGone((sandboxId, reason) => this.#drop(sandboxId, reason))
  }

  claims(request: EdgeRequest): boolean {
    return this.#route(request).kind !== 'api'
  }

  handle(request: EdgeRequest, response: EdgeResponse, door: Door = 'main'): void {
    const admission = this.#admit(request, door)
    if (!('asleep' in admission)) {
      this.#pass(admission, request, response)
      return
    }
    let hasLeft = false
    response.once('close', () => {
      hasLeft = true
    })
    this.#wake(admission.asleep, request, door).then((awake) => {
      if (!hasLeft) this.#pass(awake, request, response)
    })
  }

  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer, door: Door = 'main'): void {
    const admission = this.#admit(request, door)
    if (!('asleep' in admission)) {
      this.#passUpgrade(admission, request, socket, head)
      return
    }
    this.#wake(admission.asleep, request, door).then((awake) => {
      if (!socket.destroyed) this.#passUpgrade(awake, request, socket, head)
    })
  }

  async close(): Promise<void> {
    this.#unsubscribe()
    for (const sandboxId of [...this.#open.keys()]) this.#drop(sandboxId)
  }

  #drop(sandboxId: string, reason?: GoneReason): void {
    this.#open.get(sandboxId)?.destroy(reason && partingOf(sandboxId, reason))
    this.#open.delete(sandboxId)
  }

  #connectionsTo(entry: DirectoryEntry): SandboxConnections {
    const known = this.#open.get(entry.sandboxId)
    if (known?.address === entry.address) return known
    known?.destroy()
    const connections = new SandboxConnections(entry.address, this.#dial, this.#tlsPortsOf(entry))
    this.#open.set(entry.sandboxId, connections)
    return connections
  }

  #tlsPortsOf({ sandboxId, httpsPorts, maskRequestHost }: DirectoryEntry): TlsPorts | undefined {
    if (!httpsPorts?.length) return undefined
    const hostOf = (port: number) =>
      maskedHost(maskRequestHost, port) ?? formatSandboxHost({ sandboxId, port }, this.#domain)
    return { ports: httpsPorts, hostOf }
  }

  #targetOf(request: EdgeRequest, door: Door): Addressed | Refusal {
    const found = this.#route(request, door)
    if (found.kind === 'sandbox') return found
    if (found.kind === 'invalid') return invalidRoute(found.text)
    if (found.kind === 'api') return upgradeOfApi()
    const signer = this.#signers.find(found.url, request.socket.remoteAddress)
    if (signer === 'exhausted') return tooManySignatures()
    if (!signer) return invalidSignature()
    return { target: { sandboxId: signer.sandboxId, port: ENVD_PORT }, isShared: true }
  }

  #admit(request: EdgeRequest, door: Door): Admission | Asleep | Refusal {
    const addressed = this.#targetOf(request, door)
    if ('status' in addressed) return addressed
    const { target } = addressed
    const { sandboxId, port } = target
    if (!request.url?.startsWith('/') && request.url !== '*') return invalidTarget()
    const entry = this.#directory.find(sandboxId)
    if (!entry || (entry.state === 'paused' && !entry.wakesOnTraffic)) return sandboxNotFound(target)
    const refusal = refusalOf(request, target, entry)
    if (refusal) return refusal
    if (entry.state === 'paused') {
      if (port === ENVD_PORT && !mayUseEnvd(request, entry)) return resumeDenied(target)
      return { asleep: target }
    }
    const connections = this.#connectionsTo(entry)
    if (connections.activeCount >= this.#maxConnectionsPerSandbox) {
      return tooManyConnections(target, this.#maxConnectionsPerSandbox)
    }
    return { target, connections, headers: forwardedAs(request, addressed, entry) }
  }

  /** Resumes a paused sandbox. Concurrent requests for one sandbox share one resume. */
  async #wake(target: SandboxTarget, request: EdgeRequest, door: Door): Promise<Admission | Refusal> {
    try {
      await this.#directory.wake(target.sandboxId)
      const admission = this.#admit(request, door)
      return 'asleep' in admission ? sandboxNotFound(target) : admission
    } catch (error) {
      this.#logger.debug({ err: error, ...target }, 'a paused sandbox could not be resumed')
      return notWoken(target, error)
    }
  }

  #pass(admission: Admission | Refusal, request: EdgeRequest, response: EdgeResponse): void {
    if ('status' in admission) {
      sendRefusal(request, response, admission)
      return
    }
    const { target, connections } = admission
    const downstream = downstreamOf(request, response)
    const refuse = (refusal: Refusal) => {
      this.#logger.debug({ ...target, status: refusal.status }, 'no answer from the sandbox')
      const isGone = this.#directory.find(target.sandboxId)?.state !== 'running'
      sendRefusal(
        request,
        response,
        isGone && !refusal.isParting ? sandboxNotFound(target, refusal.shouldRetry) : refusal,
      )
    }
    try {
      exchange({
        downstream,
        connections,
        target,
        method: request.method ?? 'GET',
        path: request.url ?? '/',
        headers: requestHeaders(request, { ...admission.headers, hasBody: downstream.hasBody }),
        crossing: admission.headers.crossing,
        idleTimeoutMs: this.#idleTimeoutMs,
        refuse,
      })
    } catch (error) {
      refuse(unsendable(error))
    }
  }

  #passUpgrade(admission: Admission | Refusal, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if ('status' in admission) {
      refuseUpgrade(request, socket, admission)
      return
    }
    const { target, connections } = admission
    const upgrade = headerOf(request, 'upgrade') ?? ''
    const headers = requestHeaders(request, { ...admission.headers, hasBody: false, upgrade })
    try {
      const { crossing } = admission.headers
      tunnel({
        request,
        socket,
        head,
        connections,
        target,
        headers,
        crossing,
        idleTimeoutMs: this.#idleTimeoutMs,
      })
    } catch (error) {
      refuseUpgrade(request, socket, unsendable(error))
    }
  }
}

/** Decides how the sandbox sees the request: its host, and whether the client's address is passed on. */
function forwardedAs(
  request: EdgeRequest,
  { target: { port }, isShared }: Addressed,
  entry: DirectoryEntry,
): Admission['headers'] {
  const authority = authorityOf(request)
  const crossing = { host: hostName(authority), isShared, isEnvd: port === ENVD_PORT }
  if (crossing.isEnvd) return { host: authority, forwarded: undefined, crossing }
  const mask = maskedHost(entry.maskRequestHost, port)
  return { host: mask ?? localGuestHost(request) ?? authority, forwarded: { authority }, crossing }
}

const maskedHost = (mask: string | undefined, port: number): string | undefined =>
  mask?.replace(PORT_PLACEHOLDER, String(port))

const LOCAL_HOST = /^(localhost|(\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:.]+\])(:\d{1,5})?$/i

function localGuestHost(request: EdgeRequest): string | undefined {
  const host = headerOf(request, GUEST_HOST_HEADER)
  return host !== undefined && LOCAL_HOST.test(host) ? host : undefined
}
