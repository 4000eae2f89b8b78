import type { EdgeRequest } from './message.ts'

/**
 * Whether a request names more than one host: two Host headers (RFC 9112, 3.2), a Host that differs from the target's
 * own authority, or from `:authority` of HTTP/2. A proxy in front of the edge may choose another of these hosts than
 * the edge.
 */
export function hasAmbiguousHost(request: EdgeRequest): boolean {
  const { rawHeaders } = request
  let host: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length !== 4 || name.toLowerCase() !== 'host') continue
    if (host !== undefined) return true
    host = rawHeaders[i + 1] as string
  }
  if (host === undefined) return false
  const authority = request.headers[':authority'] ?? authorityOfTarget(request.url)
  return authority !== undefined && withoutDefaultPort(String(authority)) !== withoutDefaultPort(host)
}

/** Authority of an absolute URL, which clients send to a proxy. */
function authorityOfTarget(target = ''): string | undefined {
  if (target.startsWith('/') || target === '*') return undefined
  return /^https?:\/\/(?:[^/?#@]*@)?([^/?#]*)/i.exec(target)?.[1]
}

const withoutDefaultPort = (authority: string): string =>
  authority
    .trim()
    .toLowerCase()
    .replace(/:(80|443)?$/, '')
