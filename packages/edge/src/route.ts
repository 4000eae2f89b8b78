import { isIP } from 'node:net'
import { isSandboxId, parseSandboxHost, type SandboxTarget } from '@sandlot/protocol'
import { authorityOf, type EdgeRequest, headerOf } from './message.ts'
import { parseSignedFileUrl, type SignedFileUrl } from './signed-url.ts'

/** Whom a request is for, by the rule of wire spec 1.2. */
export type Route =
  /** Not for a sandbox: the REST API. */
  | { kind: 'api' }
  | { kind: 'sandbox'; target: SandboxTarget }
  /** A signed `/files` URL without a sandbox id: its signature tells. */
  | { kind: 'signed'; url: SignedFileUrl }
  /** Answered with 400 and this text. */
  | { kind: 'invalid'; text: string }

const API: Route = { kind: 'api' }

/** @param domain may hold a port, which is ignored. */
export function createRouter(domain: string): (request: EdgeRequest) => Route {
  const apex = hostName(domain)
  const suffix = `.${apex}`
  const apiHost = `api.${apex}`

  return function route(request) {
    const host = hostName(authorityOf(request))
    const isLocal = host === 'localhost' || isIP(host) !== 0
    if (isLocal || host.startsWith('sandbox.')) {
      const id = headerOf(request, 'e2b-sandbox-id')
      const port = headerOf(request, 'e2b-sandbox-port')
      if (id !== undefined || port !== undefined) return routeByHeaders(id, port)
    }
    if (isLocal) {
      const url = parseSignedFileUrl(request)
      return url ? { kind: 'signed', url } : API
    }
    if (host === apex || host === apiHost) return API
    if (host.endsWith(suffix) || /^\d+-/.test(host) || hasRoutingHeader(request)) return routeByLabel(host)
    return API
  }
}

const hasRoutingHeader = (request: EdgeRequest): boolean =>
  request.headers['e2b-sandbox-id'] !== undefined || request.headers['e2b-sandbox-port'] !== undefined

function routeByHeaders(sandboxId: string | undefined, portText: string | undefined): Route {
  if (sandboxId === undefined || portText === undefined) return { kind: 'invalid', text: 'missing header' }
  if (!isSandboxId(sandboxId)) return { kind: 'invalid', text: 'Invalid sandbox ID' }
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0
  if (port < 1 || port > 65535) return { kind: 'invalid', text: 'Invalid sandbox port' }
  return { kind: 'sandbox', target: { sandboxId, port } }
}

function routeByLabel(host: string): Route {
  const target = parseSandboxHost(host)
  return typeof target === 'string' ? { kind: 'invalid', text: target } : { kind: 'sandbox', target }
}

/** `Example.com:3000` → `example.com`, `[::1]:3000` → `::1`. */
export function hostName(authority: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(authority)
  if (bracketed) return bracketed[1] ?? ''
  const colon = authority.indexOf(':')
  return (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase()
}
