import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { ENVD_PORT, type SandboxTarget, secretsEqual } from '@sandlot/protocol'
import type { DirectoryEntry, GoneReason, SandboxDirectory } from '@sandlot/protocol/directory'
import type { Logger } from 'pino'
import { isControlRoute } from './control-routes.ts'
import { type Dial, dialTcp } from './dial.ts'
import { downstreamOf } from './downstream.ts'
import { exchange } from './exchange.ts'
import { type RequestHeadersOptions, requestHeaders } from './headers.ts'
import { authorityOf, type EdgeRequest, type EdgeResponse, headerOf } from './message.ts'
import { partingOf } from './parting.ts'
import {
  controlRoute,
  GUEST_HOST_HEADER,
  invalidRoute,
  invalidSignature,
  invalidTarget,
  notWoken,
  type Refusal,
  resumeDenied,
  sandboxNotFound,
  sendRefusal,
  TRAFFIC_TOKEN_HEADER,
  tooManyConnections,
  tooManySignatures,
  trafficTokenRefused,
  unsendable,
  upgradeOfApi,
} from './refusal.ts'
import { createRouter, type Door, hostName } from './route.ts'
import { SandboxConnections } from './sandbox-connections.ts'
import { findSigner, parseSignedFileUrl } from './signed-url.ts'
import { SignerSearch } from './signer-search.ts'
import { refuseUpgrade, tunnel } from './tunnel.ts'

export interface EdgeOptions {
  directory: SandboxDirectory
  /** Sandboxes are `<port>-<id>.<domain>`; may hold a port, which is ignored. */
  domain: string
  logger: Pick<Logger, 'debug'>
  /** Opens a connection to a port of a sandbox. Default: TCP, 5 s. */
  dial?: Dial
  /** Most pending requests and tunnels of one sandbox; more are answered with 429. Default 1000. */
  maxConnectionsPerSandbox?: number
  /** Breaks a request or tunnel after so long without a byte in either direction. Default 620 000 (wire spec 3). */
  idleTimeoutMs?: number
}

/** The data plane: serves all requests for sandboxes. */
export interface Edge {
  /** Whether the request is for a sandbox; all others belong to the REST API. */
  claims(request: EdgeRequest): boolean
  /** Answers a claimed request; by door `sandboxes` every request is one. */
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

export function createEdge(options: EdgeOptions): Edge {
  const {
    directory,
    logger,
    dial = dialTcp,
    maxConnectionsPerSandbox = 1000,
    idleTimeoutMs = 620_000,
  } = options
  const route = createRouter(options.domain)
  const open = new Map<string, SandboxConnections>()
  const signers = new SignerSearch(directory)
  const unsubscribe = directory.onGone(drop)

  function drop(sandboxId: string, reason?: GoneReason): void {
    open.get(sandboxId)?.destroy(reason && partingOf(sandboxId, reason))
    open.delete(sandboxId)
  }

  function connectionsTo(entry: DirectoryEntry): SandboxConnections {
    const known = open.get(entry.sandboxId)
    if (known?.address === entry.address) return known
    known?.destroy()
    const connections = new SandboxConnections(entry.address, dial)
    open.set(entry.sandboxId, connections)
    return connections
  }

  function targetOf(request: EdgeRequest, door: Door): Addressed | Refusal {
    const found = route(request, door)
    if (found.kind === 'sandbox') return found
    if (found.kind === 'invalid') return invalidRoute(found.text)
    if (found.kind === 'api') return upgradeOfApi()
    const signer = signers.find(found.url, request.socket.remoteAddress)
    if (signer === 'exhausted') return tooManySignatures()
    if (!signer) return invalidSignature()
    return { target: { sandboxId: signer.sandboxId, port: ENVD_PORT }, isShared: true }
  }

  function admit(request: EdgeRequest, door: Door): Admission | Asleep | Refusal {
    const addressed = targetOf(request, door)
    if ('status' in addressed) return addressed
    const { target, isShared } = addressed
    const { sandboxId, port } = target
    if (!request.url?.startsWith('/') && request.url !== '*') return invalidTarget()
    const entry = directory.find(sandboxId)
    if (!entry || (entry.state === 'paused' && !entry.wakesOnTraffic)) return sandboxNotFound(target)
    const authority = authorityOf(request)
    if (port === ENVD_PORT) {
      if (isControlRoute(request.url)) return controlRoute()
    } else if (entry.trafficAccessToken !== undefined) {
      const token = headerOf(request, TRAFFIC_TOKEN_HEADER)
      if (token === undefined) return trafficTokenRefused(target, 'missing')
      if (!secretsEqual(token, entry.trafficAccessToken)) return trafficTokenRefused(target, 'invalid')
    }
    if (entry.state === 'paused') {
      if (port === ENVD_PORT && !mayUseEnvd(request, entry)) return resumeDenied(target)
      return { asleep: target }
    }
    const connections = connectionsTo(entry)
    if (connections.activeCount >= maxConnectionsPerSandbox) {
      return tooManyConnections(target, maxConnectionsPerSandbox)
    }
    const isEnvd = port === ENVD_PORT
    const mask = isEnvd ? undefined : entry.maskRequestHost?.replace(PORT_PLACEHOLDER, String(port))
    return {
      target,
      connections,
      headers: {
        host: mask ?? (isEnvd ? authority : (localGuestHost(request) ?? authority)),
        forwarded: isEnvd ? undefined : { authority },
        crossing: { host: hostName(authority), isShared, isEnvd },
      },
    }
  }

  return {
    claims: (request) => route(request).kind !== 'api',

    handle(request, response, door = 'main') {
      const admission = admit(request, door)
      if ('asleep' in admission) {
        let hasLeft = false
        response.once('close', () => {
          hasLeft = true
        })
        wake(admission.asleep, request, door).then((awake) => {
          if (!hasLeft) pass(awake, request, response)
        })
        return
      }
      pass(admission, request, response)
    },

    handleUpgrade(request, socket, head, door = 'main') {
      const admission = admit(request, door)
      if ('asleep' in admission) {
        wake(admission.asleep, request, door).then((awake) => {
          if (!socket.destroyed) passUpgrade(awake, request, socket, head)
        })
        return
      }
      passUpgrade(admission, request, socket, head)
    },

    async close() {
      unsubscribe()
      for (const sandboxId of [...open.keys()]) drop(sandboxId)
    },
  }

  /** All requests that wait for the same sandbox share one resume. */
  async function wake(target: SandboxTarget, request: EdgeRequest, door: Door): Promise<Admission | Refusal> {
    try {
      await directory.wake(target.sandboxId)
      const admission = admit(request, door)
      return 'asleep' in admission ? sandboxNotFound(target) : admission
    } catch (error) {
      logger.debug({ err: error, ...target }, 'a paused sandbox could not be woken')
      return notWoken(target, error)
    }
  }

  function pass(admission: Admission | Refusal, request: EdgeRequest, response: EdgeResponse): void {
    if ('status' in admission) {
      sendRefusal(request, response, admission)
      return
    }
    const { target, connections } = admission
    const downstream = downstreamOf(request, response)
    const refuse = (refusal: Refusal) => {
      logger.debug({ ...target, status: refusal.status }, 'no answer from the sandbox')
      const isGone = directory.find(target.sandboxId)?.state !== 'running'
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
        idleTimeoutMs,
        refuse,
      })
    } catch (error) {
      refuse(unsendable(error))
    }
  }

  function passUpgrade(
    admission: Admission | Refusal,
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
  ): void {
    if ('status' in admission) {
      refuseUpgrade(request, socket, admission)
      return
    }
    const { target, connections } = admission
    const upgrade = headerOf(request, 'upgrade') ?? ''
    const headers = requestHeaders(request, { ...admission.headers, hasBody: false, upgrade })
    try {
      const { crossing } = admission.headers
      tunnel({ request, socket, head, connections, target, headers, crossing, idleTimeoutMs })
    } catch (error) {
      refuseUpgrade(request, socket, unsendable(error))
    }
  }
}

const LOCAL_HOST = /^(localhost|(\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:.]+\])(:\d{1,5})?$/i

function localGuestHost(request: EdgeRequest): string | undefined {
  const host = headerOf(request, GUEST_HOST_HEADER)
  return host !== undefined && LOCAL_HOST.test(host) ? host : undefined
}

/** envd checks the token itself. The edge wakes a paused sandbox only for callers that envd would answer. */
function mayUseEnvd(request: EdgeRequest, entry: DirectoryEntry): boolean {
  if (entry.envdAccessToken === undefined) return true
  const token = headerOf(request, 'x-access-token')
  if (token !== undefined) return secretsEqual(token, entry.envdAccessToken)
  const signed = parseSignedFileUrl(request)
  const isOver = Number(signed?.expiration ?? Number.POSITIVE_INFINITY) * 1000 < Date.now()
  return signed !== undefined && !isOver && findSigner(signed, [entry]) !== undefined
}
