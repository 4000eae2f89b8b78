import { isIPv4, isIPv6 } from 'node:net'
import { hostName } from '../names.ts'
import { valuesOf } from './headers.ts'
import type { RawHeaders } from './message.ts'

/** Where a request wants to go. */
export interface RequestHost {
  /** As `hostName` returns it; absent when the request names an address, or nothing. */
  name?: string
  /** Host header for the next hop; absent when the request has none. */
  authority?: string
  /** `/path` or `*`. */
  path: string
}

/** A request that names its host in a way that two servers may understand differently. */
export class AmbiguousHostError extends Error {
  override readonly name = 'AmbiguousHostError'
}

const AUTHORITY = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,255})(?::[0-9]{0,5})?$/i
const ABSOLUTE = /^https?:\/\/([^/?#]*)([^#]*)/i

/**
 * Reads the host and the path of a request.
 * @param authority `:authority` of HTTP/2
 * @throws AmbiguousHostError several hosts that differ, several Host headers, or a host or path that is none
 */
export function hostOf(target: string, headers: RawHeaders, authority?: string): RequestHost {
  const [host, ...others] = valuesOf(headers, 'host')
  if (others.length > 0) throw new AmbiguousHostError('the request has several Host headers')
  const { inTarget, path } = splitTarget(target)
  const named = [authority, inTarget, host].filter((value) => value !== undefined)
  const [first] = named
  if (first === undefined) return { path }
  if (named.some((other) => normal(other) !== normal(first)))
    throw new AmbiguousHostError(`the request names the hosts ${named.map(quoted).join(' and ')}`)
  if (first === '') return { path, authority: '' }
  const found = AUTHORITY.exec(first)?.[1]
  if (!found) throw new AmbiguousHostError(`the host ${quoted(first)} is neither a name nor an address`)
  if (found.startsWith('[') && !isIPv6(found.slice(1, -1)))
    throw new AmbiguousHostError(`the host ${quoted(first)} is not an IPv6 address`)
  const name = isIPv4(found) || found.startsWith('[') ? undefined : hostName(found)
  return { authority: first, path, ...(name !== undefined && { name }) }
}

function splitTarget(target: string): { inTarget?: string; path: string } {
  if (target.startsWith('/') || target === '*') return { path: target }
  const absolute = ABSOLUTE.exec(target)
  if (!absolute) throw new AmbiguousHostError(`the target ${quoted(target)} is neither a path nor a URL`)
  const rest = absolute[2] ?? ''
  return { inTarget: absolute[1] ?? '', path: rest.startsWith('/') ? rest : `/${rest}` }
}

const normal = (authority: string): string => authority.toLowerCase().replace(/:(?:80|443)?$/, '')

const quoted = (text: string): string => JSON.stringify(text.slice(0, 100))
