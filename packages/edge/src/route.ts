import { parseSandboxHost, type SandboxTarget, targetOf } from '@sandlot/protocol'
import { authorityOf, type EdgeRequest, headerOf } from './message.ts'
import { parseSignedFileUrl, type SignedFileUrl } from './signed-url.ts'

/** Destination of a request by the rules of wire spec 1.2. */
export type Route =
  /** Not for a sandbox: the REST API. */
  | { kind: 'api' }
  /** `isShared`: other sandboxes are served at the same host, told apart by header. */
  | { kind: 'sandbox'; target: SandboxTarget; isShared: boolean }
  /** A signed `/files` URL without a sandbox id, at a shared host: the signature identifies the sandbox. */
  | { kind: 'signed'; url: SignedFileUrl }
  /** Refused with 400 and this text. */
  | { kind: 'invalid'; text: string }

const API: Route = { kind: 'api' }

/** Listener that received a request: `main` also serves the API, `sandboxes` never does. */
export type Door = 'main' | 'sandboxes'

/**
 * Routes a request. Only the host decides between the API and sandboxes, so that browsers never see both as one origin:
 * no header and no path makes a host of the API serve answers of a guest (docs/adr/0018).
 *
 * @param domain may include a port, which is ignored.
 */
export function createRouter(domain: string): (request: EdgeRequest, door?: Door) => Route {
  const apex = hostName(domain)
  const suffix = `.${apex}`
  const apiHost = `api.${apex}`

  return function route(request, door = 'main') {
    const host = hostName(authorityOf(request))
    if (door === 'sandboxes')
      return /^\d+-/.test(host) ? routeByLabel(host) : routeAtSharedHost(request, host)
    if (host === apex || host === apiHost) return API
    if (host.startsWith('sandbox.')) return routeAtSharedHost(request, host)
    return host.endsWith(suffix) || /^\d+-/.test(host) ? routeByLabel(host) : API
  }
}

function routeAtSharedHost(request: EdgeRequest, host: string): Route {
  const id = headerOf(request, 'e2b-sandbox-id')
  const port = headerOf(request, 'e2b-sandbox-port')
  if (id !== undefined || port !== undefined) return routeByHeaders(id, port)
  const url = parseSignedFileUrl(request)
  return url ? { kind: 'signed', url } : routeByLabel(host)
}

function routeByHeaders(name: string | undefined, portText: string | undefined): Route {
  if (name === undefined || portText === undefined) return { kind: 'invalid', text: 'missing header' }
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0
  const target = targetOf(name, port)
  if (typeof target === 'string') return { kind: 'invalid', text: target }
  if (port < 1 || port > 65535) return { kind: 'invalid', text: 'Invalid sandbox port' }
  return { kind: 'sandbox', target, isShared: true }
}

function routeByLabel(host: string): Route {
  const target = parseSandboxHost(host)
  return typeof target === 'string'
    ? { kind: 'invalid', text: target }
    : { kind: 'sandbox', target, isShared: false }
}

/** `Example.com:3000` → `example.com`, `[::1]:3000` → `::1`, `example.com.` (DNS's full form) → `example.com`. */
export function hostName(authority: string): string {
  const bracketed = /^\[([^\]]*)\]/.exec(authority)
  if (bracketed) return bracketed[1] ?? ''
  const colon = authority.indexOf(':')
  const name = (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase()
  return name.endsWith('.') ? name.slice(0, -1) : name
}
