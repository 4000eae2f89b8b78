import { HOP_BY_HOP } from '@sandlot/protocol/http-headers'
import { type Crossing, isWithheld, withoutOwnCookies } from './crossing.ts'
import { type EdgeRequest, isEncrypted, isHttp2Request, type RawHeaders } from './message.ts'
import { GUEST_HOST_HEADER, TRAFFIC_TOKEN_HEADER } from './refusal.ts'

export interface RequestHeadersOptions {
  /** Value of the Host header that the sandbox gets. */
  host: string
  hasBody: boolean
  crossing: Crossing
  /** Authority for the forwarding headers; absent on envd's port, which browsers do not call. */
  forwarded?: { authority: string }
  /** Value of the Upgrade header, when the connection changes its protocol. */
  upgrade?: string
}

export function requestHeaders(request: EdgeRequest, options: RequestHeadersOptions): RawHeaders {
  const raw = request.rawHeaders
  const named = namedByConnection(request.headers.connection)
  const headers: RawHeaders = ['Host', options.host]
  const cookies: string[] = []
  let isLengthGiven = false
  let forwardedFor = ''
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    const lower = name.toLowerCase()
    if (lower === 'host' || lower.startsWith(':') || lower === TRAFFIC_TOKEN_HEADER) continue
    if (lower === GUEST_HOST_HEADER) continue
    // The edge asks for the body itself when it starts to read it.
    if (lower === 'expect' || HOP_BY_HOP.has(lower) || named?.has(lower)) continue
    if (lower === 'content-length') isLengthGiven = true
    if (isWithheld(lower, value, options.crossing)) continue
    if (lower === 'cookie') cookies.push(value)
    else if (options.forwarded && lower === 'x-forwarded-for') forwardedFor += `${value}, `
    else if (!options.forwarded || !isForwardedHeader(lower)) headers.push(name, value)
  }
  // HTTP/2 may split cookies to compress them better; HTTP/1.1 wants one line (RFC 9113, 8.2.3).
  const cookie = cookies.length > 0 ? withoutOwnCookies(cookies.join('; ')) : undefined
  if (cookie !== undefined) headers.push('Cookie', cookie)
  if (options.forwarded) {
    headers.push('X-Forwarded-For', forwardedFor + plainAddress(request.socket.remoteAddress))
    headers.push('X-Forwarded-Proto', isEncrypted(request) ? 'https' : 'http')
    headers.push('X-Forwarded-Host', options.forwarded.authority)
  }
  if (request.headers.te?.toString().toLowerCase().includes('trailers')) headers.push('TE', 'trailers')
  if (options.upgrade !== undefined) headers.push('Connection', 'Upgrade', 'Upgrade', options.upgrade)
  if (options.hasBody && !isLengthGiven) {
    const coding = isHttp2Request(request) ? undefined : request.headers['transfer-encoding']
    headers.push('Transfer-Encoding', coding ?? 'chunked')
  } else if (!options.hasBody && !isLengthGiven && /^(POST|PUT|PATCH)$/.test(request.method ?? '')) {
    headers.push('Content-Length', '0')
  }
  return headers
}

/** Headers of an answer without those for the hop between sandbox and edge. */
export function responseHeaders(raw: RawHeaders, connection: string | undefined): RawHeaders {
  const named = namedByConnection(connection)
  const headers: RawHeaders = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const lower = name.toLowerCase()
    if (HOP_BY_HOP.has(lower) || named?.has(lower)) continue
    headers.push(name, raw[i + 1] as string)
  }
  return headers
}

/** HTTP/2 requires lower-case names; all values but those of `set-cookie` may be joined (RFC 9110, 5.3). */
export function toHttp2Headers(raw: RawHeaders): Record<string, string | string[]> {
  // without a prototype: a header may be called `constructor`
  const headers: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] as string).toLowerCase()
    const value = raw[i + 1] as string
    const before = headers[name]
    if (before === undefined) headers[name] = name === 'set-cookie' ? [value] : value
    else if (Array.isArray(before)) before.push(value)
    else headers[name] = `${before}, ${value}`
  }
  return headers
}

const isForwardedHeader = (name: string): boolean =>
  name === 'x-forwarded-proto' || name === 'x-forwarded-host'

/** Headers that framing or routing depends on cannot be declared hop-by-hop by a sender. */
const NEVER_NAMED = new Set(['content-length', 'host', 'cookie', 'authorization', 'x-access-token'])

function namedByConnection(connection: string | undefined): Set<string> | undefined {
  if (connection === undefined || /^(keep-alive|close|upgrade)$/i.test(connection)) return undefined
  const names = connection.split(',').map((name) => name.trim().toLowerCase())
  return new Set(names.filter((name) => name !== '' && !NEVER_NAMED.has(name)))
}

const plainAddress = (address: string | undefined): string => (address ?? 'unknown').replace(/^::ffff:/, '')
