import type { Http2Stream } from 'node:http2'
import { HEAD_ONLY, HOP_BY_HOP } from '@sandlot/protocol/http-headers'
import type { RawHeaders } from './message.ts'

/** Headers that framing or routing depends on cannot be declared hop-by-hop by a sender. */
const NEVER_NAMED = new Set(['content-length', 'host', 'cookie', 'authorization'])

/** Whether a rule may set a header: it must neither frame the message nor choose the server. */
export const isSettable = (name: string): boolean => {
  const lower = name.toLowerCase()
  return !HOP_BY_HOP.has(lower) && !HEAD_ONLY.has(lower) && lower !== 'expect' && !lower.startsWith(':')
}

/** All values of a header, ignoring the case of its name. */
export function valuesOf(headers: RawHeaders, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < headers.length; i += 2)
    if (headers[i]!.length === name.length && headers[i]!.toLowerCase() === name) values.push(headers[i + 1]!)
  return values
}

export interface ForwardedRequest {
  headers: RawHeaders
  hasBody: boolean
  expectsContinue: boolean
  method: string
}

/**
 * Returns the headers of a request for the next hop in HTTP/1.1, without Host.
 * @param replaced headers that replace all of these names
 */
export function requestHeaders(request: ForwardedRequest, replaced: RawHeaders): RawHeaders {
  const raw = request.headers
  const own = withoutNamesOf(replaced, raw)
  const named = namedByConnection(raw)
  const headers: RawHeaders = []
  const cookies: string[] = []
  let isLengthGiven = false
  for (let i = 0; i < own.length; i += 2) {
    const name = own[i]!
    const lower = name.toLowerCase()
    if (lower === 'host' || lower === 'expect' || lower.startsWith(':')) continue
    if (HOP_BY_HOP.has(lower) || named?.has(lower)) continue
    if (lower === 'content-length') isLengthGiven = true
    if (lower === 'cookie') cookies.push(own[i + 1]!)
    else headers.push(name, own[i + 1]!)
  }
  // HTTP/2 may split cookies to compress them better; HTTP/1.1 wants one line (RFC 9113, 8.2.3).
  if (cookies.length > 0) headers.push('Cookie', cookies.join('; '))
  headers.push(...replaced)
  if (/\btrailers\b/i.test(valuesOf(raw, 'te').join())) headers.push('TE', 'trailers')
  if (request.expectsContinue) headers.push('Expect', '100-continue')
  if (request.hasBody && !isLengthGiven) headers.push('Transfer-Encoding', 'chunked')
  else if (!request.hasBody && !isLengthGiven && /^(POST|PUT|PATCH)$/.test(request.method))
    headers.push('Content-Length', '0')
  return headers
}

/**
 * Returns headers or trailers of a client without those that a server could take for one that a rule sets: CGI, WSGI and
 * PHP do not tell `_` from `-`, and some servers add trailers to the headers.
 */
export function withoutNamesOf(replaced: RawHeaders, headers: RawHeaders): RawHeaders {
  if (replaced.length === 0) return headers
  const names = new Set(pairsOf(replaced).map(([name]) => asVariable(name)))
  return pairsOf(headers).flatMap((pair) => (names.has(asVariable(pair[0])) ? [] : pair))
}

const asVariable = (name: string): string => name.toLowerCase().replaceAll('_', '-')

/** Returns the headers of an answer without those for the hop to its server. */
export function responseHeaders(raw: RawHeaders): RawHeaders {
  const named = namedByConnection(raw)
  const headers: RawHeaders = []
  for (let i = 0; i < raw.length; i += 2) {
    const lower = raw[i]!.toLowerCase()
    if (lower.startsWith(':') || HOP_BY_HOP.has(lower) || named?.has(lower)) continue
    headers.push(raw[i]!, raw[i + 1]!)
  }
  return headers
}

/** HTTP/2 requires lower-case names; all values but those of `set-cookie` may be joined (RFC 9110, 5.3). */
export function toHttp2Headers(raw: RawHeaders): Record<string, string | string[]> {
  // without a prototype: a header may be called `constructor`
  const headers: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!.toLowerCase()
    const value = raw[i + 1]!
    if (name === 'transfer-encoding') continue
    const before = headers[name]
    if (before === undefined) headers[name] = name === 'set-cookie' ? [value] : value
    else if (Array.isArray(before)) before.push(value)
    else headers[name] = `${before}, ${value}`
  }
  return headers
}

/** Ends a stream of HTTP/2 with trailers. Called from events, where nothing would catch an error of Node. */
export function sendTrailers(stream: Http2Stream, trailers: RawHeaders): void {
  try {
    stream.sendTrailers(toHttp2Headers(trailers))
  } catch (error) {
    stream.destroy(error as Error)
  }
}

export const pairsOf = (raw: RawHeaders): Array<[string, string]> => {
  const pairs: Array<[string, string]> = []
  for (let i = 0; i < raw.length; i += 2) pairs.push([raw[i]!, raw[i + 1]!])
  return pairs
}

function namedByConnection(headers: RawHeaders): Set<string> | undefined {
  const connection = valuesOf(headers, 'connection').join()
  if (connection === '' || /^(keep-alive|close|upgrade)$/i.test(connection)) return undefined
  const names = connection.split(',').map((name) => name.trim().toLowerCase())
  return new Set(names.filter((name) => name !== '' && !NEVER_NAMED.has(name)))
}
