import { requestHeaders, valuesOf } from '../http/headers.ts'
import type { RawHeaders } from '../http/message.ts'
import type { Admitted } from '../http/requests.ts'
import { hasToken, type RequestHead } from './head.ts'

/**
 * In other versions of HTTP a client could name hosts that nobody decides, and leave out the headers of rules (known as h2c
 * smuggling); TLS would hide that.
 */
const NEVER_CHANGED_TO = /^(?:h[23]c?|http|tls)(?:\/.*)?$/

/** A request of a client, and what it asks of the connection. */
export interface ClientRequest extends RequestHead {
  hasBody: boolean
  /** The client sends the body only after an interim answer 100. */
  expectsContinue: boolean
  /** The client expects something that nobody knows. */
  expectsOther: boolean
  /** The answer shall be the last one on the connection. */
  wantsClose: boolean
  /** The client asks for another protocol, which the server may choose. */
  isUpgrade: boolean
}

export function clientRequest(head: RequestHead): ClientRequest {
  const { headers, minor, framing } = head
  const hasBody = framing.kind !== 'none'
  const expectation = valuesOf(headers, 'expect').join().toLowerCase()
  const isOld = minor === 0
  const protocols = valuesOf(headers, 'upgrade').join().toLowerCase().split(',')
  return {
    ...head,
    hasBody,
    expectsContinue: expectation === '100-continue' && hasBody && !isOld,
    expectsOther: expectation !== '' && expectation !== '100-continue' && !isOld,
    wantsClose: isOld
      ? !hasToken(headers, 'connection', 'keep-alive')
      : hasToken(headers, 'connection', 'close'),
    // Java's HttpClient offers h2c on every request. What is not offered to the server, and a request with a body, is
    // forwarded as an ordinary request (RFC 9110, 7.8 lets a server ignore the offer).
    isUpgrade:
      protocols.every((protocol) => mayChangeTo(protocol.trim())) &&
      !hasBody &&
      !isOld &&
      hasToken(headers, 'connection', 'upgrade'),
  }
}

const mayChangeTo = (protocol: string): boolean => protocol !== '' && !NEVER_CHANGED_TO.test(protocol)

/** Returns the headers that a request is sent on with. */
export function headersForServer(request: ClientRequest, { host, replaced }: Admitted): RawHeaders {
  const { headers } = request
  return [
    ...(host.authority === undefined ? [] : ['Host', host.authority]),
    ...requestHeaders(request, replaced),
    ...(request.isUpgrade
      ? ['Connection', 'Upgrade', 'Upgrade', valuesOf(headers, 'upgrade').join(', ')]
      : ['Connection', 'keep-alive']),
  ]
}
