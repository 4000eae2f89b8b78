import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { ENVD_PORT, type SandboxTarget, secretsEqual } from '@sandlot/protocol'
import type { DirectoryEntry, SandboxDirectory } from '@sandlot/server/directory'
import type { Logger } from 'pino'
import { isControlRoute } from './control-routes.ts'
import { type Dial, dialTcp } from './dial.ts'
import { downstreamOf } from './downstream.ts'
import { exchange } from './exchange.ts'
import { type RequestHeadersOptions, requestHeaders } from './headers.ts'
import { authorityOf, type EdgeRequest, type EdgeResponse, headerOf } from './message.ts'
import {
  controlRoute,
  invalidRoute,
  invalidSignature,
  invalidTarget,
  type Refusal,
  sandboxNotFound,
  sendRefusal,
  TRAFFIC_TOKEN_HEADER,
  tooManyConnections,
  trafficTokenRefused,
  unsendable,
} from './refusal.ts'
import { createRouter } from './route.ts'
import { SandboxConnections } from './sandbox-connections.ts'
import { findSigner } from './signed-url.ts'
import { refuseUpgrade, tunnel } from './tunnel.ts'

export interface EdgeOptions {
  directory: SandboxDirectory
  /** Sandboxes are `<port>-<id>.<domain>`; may hold a port, which is ignored. */
  domain: string
  logger: Pick<Logger, 'debug'>
  /** How a port of a sandbox is reached. Default: TCP, 5 s. */
  dial?: Dial
  /** Requests and tunnels at one time; more are answered with 429. Default 1000. */
  maxConnectionsPerSandbox?: number
  /** A request or tunnel without a byte either way for so long is broken. Default 620 000 (wire spec 3). */
  idleTimeoutMs?: number
}

/** The data plane: what comes in for sandboxes. */
export interface Edge {
  /** Whether the request is for a sandbox; all others belong to the REST API. */
  claims(request: EdgeRequest): boolean
  /** Answers a claimed request. */
  handle(request: EdgeRequest, response: EdgeResponse): void
  /** Answers a claimed request to change the protocol, e.g. to WebSocket. */
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  /** Breaks everything that is open. */
  close(): Promise<void>
}

const PORT_PLACEHOLDER = /\$\{PORT\}/g

interface Admission {
  target: SandboxTarget
  connections: SandboxConnections
  headers: Pick<RequestHeadersOptions, 'host' | 'forwarded'>
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
  const unsubscribe = directory.onGone(drop)

  function drop(sandboxId: string): void {
    open.get(sandboxId)?.destroy()
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

  function targetOf(request: EdgeRequest): SandboxTarget | Refusal {
    const found = route(request)
    if (found.kind === 'sandbox') return found.target
    if (found.kind === 'invalid') return invalidRoute(found.text)
    const signer = found.kind === 'signed' ? findSigner(found.url, directory.running()) : undefined
    return signer ? { sandboxId: signer.sandboxId, port: ENVD_PORT } : invalidSignature()
  }

  function admit(request: EdgeRequest): Admission | Refusal {
    const target = targetOf(request)
    if ('status' in target) return target
    const { sandboxId, port } = target
    if (!request.url?.startsWith('/') && request.url !== '*') return invalidTarget()
    const entry = directory.find(sandboxId)
    if (entry?.state !== 'running') return sandboxNotFound(sandboxId)
    const authority = authorityOf(request)
    if (port === ENVD_PORT) {
      if (isControlRoute(request.url)) return controlRoute()
    } else if (entry.trafficAccessToken !== undefined) {
      const token = headerOf(request, TRAFFIC_TOKEN_HEADER)
      if (token === undefined) return trafficTokenRefused(sandboxId, 'missing')
      if (!secretsEqual(token, entry.trafficAccessToken)) return trafficTokenRefused(sandboxId, 'invalid')
    }
    const connections = connectionsTo(entry)
    if (connections.activeCount >= maxConnectionsPerSandbox) {
      return tooManyConnections(sandboxId, maxConnectionsPerSandbox)
    }
    const isEnvd = port === ENVD_PORT
    const mask = isEnvd ? undefined : entry.maskRequestHost?.replace(PORT_PLACEHOLDER, String(port))
    return {
      target,
      connections,
      headers: { host: mask ?? authority, forwarded: isEnvd ? undefined : { authority } },
    }
  }

  return {
    claims: (request) => route(request).kind !== 'api',

    handle(request, response) {
      const admission = admit(request)
      if ('status' in admission) {
        sendRefusal(request, response, admission)
        return
      }
      const { target, connections } = admission
      const downstream = downstreamOf(request, response)
      const refuse = (refusal: Refusal) => {
        logger.debug({ ...target, status: refusal.status }, 'no answer from the sandbox')
        const isGone = directory.find(target.sandboxId)?.state !== 'running'
        sendRefusal(request, response, isGone ? sandboxNotFound(target.sandboxId) : refusal)
      }
      try {
        exchange({
          downstream,
          connections,
          target,
          method: request.method ?? 'GET',
          path: request.url ?? '/',
          headers: requestHeaders(request, { ...admission.headers, hasBody: downstream.hasBody }),
          idleTimeoutMs,
          refuse,
        })
      } catch (error) {
        refuse(unsendable(error))
      }
    },

    handleUpgrade(request, socket, head) {
      const admission = admit(request)
      if ('status' in admission) {
        refuseUpgrade(request, socket, admission)
        return
      }
      const { target, connections } = admission
      const upgrade = headerOf(request, 'upgrade') ?? ''
      const headers = requestHeaders(request, { ...admission.headers, hasBody: false, upgrade })
      try {
        tunnel({ request, socket, head, connections, target, headers, idleTimeoutMs })
      } catch (error) {
        refuseUpgrade(request, socket, unsendable(error))
      }
    },

    async close() {
      unsubscribe()
      for (const sandboxId of [...open.keys()]) drop(sandboxId)
    },
  }
}
