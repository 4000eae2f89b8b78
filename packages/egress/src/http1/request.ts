import { requestHeaders, valuesOf } from '../http/headers.ts'
import type { RawHeaders } from '../http/message.ts'
import type { Admitted } from '../http/requests.ts'
import { hasToken, type RequestHead } from './head.ts'

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
  const protocol = valuesOf(headers, 'upgrade').join().toLowerCase()
  return {
    ...head,
    hasBody,
    expectsContinue: expectation === '100-continue' && hasBody && !isOld,
    expectsOther: expectation !== '' && expectation !== '100-continue' && !isOld,
    wantsClose: isOld
      ? !hasToken(headers, 'connection', 'keep-alive')
      : hasToken(headers, 'connection', 'close'),
    // The proxy does not accept the offer of h2c, which Java's HttpClient makes on every request. A request with a body is
    // forwarded as an ordinary request too (RFC 9110, 7.8 lets a server ignore the offer).
    isUpgrade:
      protocol !== '' &&
      protocol !== 'h2c' &&
      !hasBody &&
      !isOld &&
      hasToken(headers, 'connection', 'upgrade'),
  }
}

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
