import { passableTrailers } from '@sandlot/protocol/http-headers'
import { requestHeaders, valuesOf, withoutNamesOf } from '../http/headers.ts'
import type { RawHeaders } from '../http/message.ts'
import type { Admitted, DecidableRequest } from '../http/requests.ts'

const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/** Without control characters, and blanks at the ends: a server that speaks HTTP/1.1 behind it could take them for ends. */
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/
const LENGTH = /^[0-9]{1,15}$/
const TARGET = /^[\x21-\x7e\x80-\xff]+$/
/** Belong to connections of HTTP/1.1 (RFC 9113, 8.2.2). */
const FORBIDDEN = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])
const PSEUDO = new Set([':method', ':scheme', ':path', ':authority', ':protocol'])

export interface RelayedRequest extends DecidableRequest {
  hasBody: boolean
  /** Of the body, as announced. */
  lengthBytes?: number
  expectsContinue: boolean
}

/** Reads the head of a request. @returns undefined when it is malformed (RFC 9113, 8.2 and 8.3) */
export function readRequest(headers: RawHeaders, hasBody: boolean): RelayedRequest | undefined {
  const pseudo = new Map<string, string>()
  let isPseudoOver = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    const value = headers[i + 1]!
    if (!VALUE.test(value)) return undefined
    if (name.startsWith(':')) {
      if (isPseudoOver || pseudo.has(name) || !PSEUDO.has(name)) return undefined
      pseudo.set(name, value)
      continue
    }
    isPseudoOver = true
    if (!NAME.test(name) || FORBIDDEN.has(name)) return undefined
    if (name === 'te' && value.toLowerCase() !== 'trailers') return undefined
  }
  const method = pseudo.get(':method')
  // extended CONNECT is not offered
  const isConnect = method === 'CONNECT' || pseudo.has(':protocol')
  const target = pseudo.get(':path') ?? (isConnect ? '*' : '')
  if (method === undefined || !NAME.test(method.toLowerCase()) || !TARGET.test(target)) return undefined
  if (!isConnect && !pseudo.has(':scheme')) return undefined
  const [length, ...otherLengths] = valuesOf(headers, 'content-length')
  if (length !== undefined && (otherLengths.length > 0 || !LENGTH.test(length))) return undefined
  if (!hasBody && Number(length ?? 0) !== 0) return undefined
  return {
    method: isConnect ? 'CONNECT' : method,
    target,
    authority: pseudo.get(':authority'),
    headers,
    hasBody,
    ...(length !== undefined && { lengthBytes: Number(length) }),
    expectsContinue: hasBody && valuesOf(headers, 'expect').join().toLowerCase() === '100-continue',
  }
}

/** Returns the headers that a request is sent on with. */
export function headersForServer(request: RelayedRequest, { host, replaced }: Admitted): RawHeaders {
  const headers: RawHeaders = [':method', request.method, ':scheme', 'https', ':path', host.path]
  if (host.authority !== undefined) headers.push(':authority', host.authority)
  const raw = requestHeaders(request, replaced)
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    if (name !== 'transfer-encoding') headers.push(name, raw[i + 1]!)
  }
  return headers
}

/**
 * Returns the trailers that a request is sent on with.
 * @param replaced names that rules set
 */
export function trailersForServer(headers: RawHeaders, replaced: RawHeaders): RawHeaders {
  const own = withoutNamesOf(replaced, headers)
  const trailers = passableTrailers(own.map((text, i) => (i % 2 === 0 ? text.toLowerCase() : text)))
  const kept: RawHeaders = []
  for (let i = 0; i < trailers.length; i += 2)
    if (NAME.test(trailers[i]!) && VALUE.test(trailers[i + 1]!)) kept.push(trailers[i]!, trailers[i + 1]!)
  return kept
}
