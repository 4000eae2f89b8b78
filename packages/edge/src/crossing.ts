import { isApiCredential, isOwnCookie } from '@sandlot/protocol'
import type { RawHeaders } from './headers.ts'

/** How a request names its sandbox: it decides what may cross between client and guest. */
export interface Crossing {
  /** Host that the client asked for, without a port. */
  host: string
  /** The host serves other sandboxes as well, so that to browsers all of them are one origin. */
  isShared: boolean
  isEnvd: boolean
}

/** What the API knows its callers by. envd needs none of it, and whoever is root inside may listen in its place. */
const API_HEADERS = new Set(['x-api-key', 'x-team-id', 'x-admin-token'])

/** Whether a header of a request stays outside: a guest never gets what it could act on the API with. */
export function isWithheld(lowerName: string, value: string, { isEnvd }: Crossing): boolean {
  if (isEnvd && (API_HEADERS.has(lowerName) || isOtherThanBasic(lowerName, value))) return true
  return isApiCredential(value)
}

/** envd is told the user as `Basic <user>:` (wire spec 4.1) and ignores any other scheme. */
const isOtherThanBasic = (lowerName: string, value: string): boolean =>
  lowerName === 'authorization' && !/^basic\s/i.test(value)

/** A Cookie header without the cookies of the sign-in pages; undefined when nothing is left. */
export function withoutOwnCookies(value: string): string | undefined {
  const pairs = value.split(';').filter((pair) => !isOwnCookie(pair.split('=', 1)[0]!.trim()))
  return pairs.length === 0 ? undefined : pairs.join(';').trim()
}

/** Headers that act on a whole origin: where sandboxes share one, none of them may speak for all. */
const ORIGIN_WIDE = new Set([
  'set-cookie',
  'clear-site-data',
  'strict-transport-security',
  'alt-svc',
  'nel',
  'report-to',
  'reporting-endpoints',
  'service-worker-allowed',
])

/**
 * A guest's answer as browsers may have it. At its own host a guest does as it likes, but sets and clears no cookies
 * beyond it. What envd serves, and everything at a shared host, is data: it runs in no origin (CSP `sandbox`).
 */
export function contained(headers: RawHeaders, crossing: Crossing): RawHeaders {
  const isData = crossing.isShared || crossing.isEnvd
  const kept: RawHeaders = []
  let isPdf = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const lower = name.toLowerCase()
    if (crossing.isShared && ORIGIN_WIDE.has(lower)) continue
    // The first value is the one that counts.
    if (isData && lower === 'x-content-type-options') continue
    const value = headers[i + 1] as string
    if (lower === 'content-type') isPdf = /^application\/pdf\b/i.test(value)
    const passed = containedValue(lower, value, crossing.host)
    if (passed !== undefined) kept.push(name, passed)
  }
  if (isData) kept.push('X-Content-Type-Options', 'nosniff')
  // Browsers show PDFs by a viewer of their own, which a sandboxed document may not start.
  if (isData && !isPdf) kept.push('Content-Security-Policy', 'sandbox')
  return kept
}

function containedValue(lowerName: string, value: string, host: string): string | undefined {
  if (lowerName === 'set-cookie') return hostOnly(value, host)
  if (lowerName === 'clear-site-data') return withoutCookies(value)
  return value
}

/** A cookie for a parent domain would also be sent to the API and to other sandboxes: it becomes one for `host` alone. */
function hostOnly(cookie: string, host: string): string {
  // Without a regular expression: one over spaces in the middle takes time by the square of their number.
  const isWider = (attribute: string): boolean => {
    const at = attribute.indexOf('=')
    if (at < 0 || attribute.slice(0, at).trim().toLowerCase() !== 'domain') return false
    const value = attribute
      .slice(at + 1)
      .trim()
      .toLowerCase()
    const domain = value.startsWith('.') ? value.slice(1) : value
    return domain !== host && !domain.endsWith(`.${host}`)
  }
  const [pair, ...attributes] = cookie.split(';')
  return [pair, ...attributes.filter((attribute) => !isWider(attribute))].join(';')
}

/** Browsers clear cookies for the whole registrable domain, not for one host. */
function withoutCookies(clearSiteData: string): string | undefined {
  const types = clearSiteData.split(',').map((type) => type.trim())
  const kept = types.flatMap((type) =>
    type === '"*"' ? ['"cache"', '"storage"'] : type === '"cookies"' ? [] : type,
  )
  return kept.length === 0 ? undefined : kept.join(', ')
}
