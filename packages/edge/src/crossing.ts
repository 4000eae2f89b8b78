import { isApiCredential, isOwnCookie } from '@sandlot/protocol'
import type { RawHeaders } from './message.ts'

/** How a request names its sandbox, which decides which headers may pass between client and guest. */
export interface Crossing {
  /** Host that the client requested, without a port. */
  host: string
  /** Whether the host also serves other sandboxes, so that browsers see all of them as one origin. */
  isShared: boolean
  isEnvd: boolean
}

/** Headers with credentials of the API. envd needs none of them, and root inside the sandbox may listen in place of envd. */
const API_HEADERS = new Set(['x-api-key', 'x-team-id', 'x-admin-token'])

/** Whether a request header is withheld from the guest, which must never get credentials of the API. */
export function isWithheld(lowerName: string, value: string, { isEnvd }: Crossing): boolean {
  if (isEnvd && (API_HEADERS.has(lowerName) || isOtherThanBasic(lowerName, value))) return true
  return isApiCredential(value)
}

/** Clients name the user to envd as `Basic <user>:` (wire spec 4.1); envd ignores any other scheme. */
const isOtherThanBasic = (lowerName: string, value: string): boolean =>
  lowerName === 'authorization' && !/^basic\s/i.test(value)

/** A Cookie header without the cookies of the sign-in pages; undefined when nothing is left. */
export function withoutOwnCookies(value: string): string | undefined {
  const pairs = value.split(';').filter((pair) => !isOwnCookie(pair.split('=', 1)[0]!.trim()))
  return pairs.length === 0 ? undefined : pairs.join(';').trim()
}

/** Headers that act on a whole origin: at a shared origin no single sandbox may set them. */
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
 * Makes a guest's answer safe for browsers. At its own host a guest may send any header, but cannot set or clear
 * cookies of other hosts. Answers of envd, and all answers at a shared host, are data: they run in no origin (CSP
 * `sandbox`).
 */
export function contained(headers: RawHeaders, crossing: Crossing): RawHeaders {
  const isData = crossing.isShared || crossing.isEnvd
  const kept: RawHeaders = []
  let isPdf = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] as string
    const lower = name.toLowerCase()
    if (crossing.isShared && ORIGIN_WIDE.has(lower)) continue
    // Browsers use the first value.
    if (isData && lower === 'x-content-type-options') continue
    const value = headers[i + 1] as string
    if (lower === 'content-type') isPdf = /^application\/pdf\b/i.test(value)
    const passed = containedValue(lower, value, crossing.host)
    if (passed !== undefined) kept.push(name, passed)
  }
  if (isData) kept.push('X-Content-Type-Options', 'nosniff')
  // Browsers show PDFs in a viewer of their own, which a sandboxed document may not start.
  if (isData && !isPdf) kept.push('Content-Security-Policy', 'sandbox')
  return kept
}

function containedValue(lowerName: string, value: string, host: string): string | undefined {
  if (lowerName === 'set-cookie') return hostOnly(value, host)
  if (lowerName === 'clear-site-data') return withoutCookies(value)
  return value
}

/** Narrows a cookie for a parent domain, which browsers would also send to the API and to other sandboxes, to `host` alone. */
function hostOnly(cookie: string, host: string): string {
  // Without a regular expression, whose time would grow with the square of the number of spaces.
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
