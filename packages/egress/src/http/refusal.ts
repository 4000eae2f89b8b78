import type { AnswerHead, Downstream, RawHeaders } from './message.ts'

/** An answer of the proxy itself. */
export interface Refusal {
  status: number
  /** As in `ConnectionRecord.reason`. */
  reason: string
  message: string
  /** What the user can do. */
  remedy?: string
  /** As in `ConnectionRecord.rule`. */
  rule?: string
}

export function denied(host: string, rule: string): Refusal {
  const allowing = rule === 'closed range' ? undefined : host
  return {
    status: 403,
    reason: 'denied',
    rule,
    message: `the network policy of this sandbox denies ${host} by its rule "${rule}"`,
    remedy:
      allowing === undefined
        ? 'Ranges that are closed to all sandboxes can be opened by the administrator only (allowedRanges).'
        : `Add "${allowing}" to network.allowOut, when the sandbox is created or with PUT /sandboxes/{sandboxID}/network.`,
  }
}

export const badHost = (message: string): Refusal => ({ status: 400, reason: 'ambiguous_host', message })

export const badRequest = (message: string): Refusal => ({
  status: 400,
  reason: 'malformed_request',
  message,
})

export const connectRefused = (): Refusal => ({
  status: 405,
  reason: 'connect_refused',
  message: 'the way out of a sandbox is no proxy that takes CONNECT',
  remedy: 'Connect to the server itself.',
})

export const traceRefused = (): Refusal => ({
  status: 405,
  reason: 'trace_refused',
  message: 'TRACE is not sent to servers with a header rule: the answer would show the headers of the rule',
})

export const misdirected = (host: string, name: string): Refusal => ({
  status: 421,
  reason: 'misdirected_request',
  message: `this connection is for ${name} only, and the request is for ${host}`,
  remedy: 'Open another connection for the other host.',
})

export const tooManyRequests = (limit: number): Refusal => ({
  status: 429,
  reason: 'request_limit',
  message: `this sandbox has ${limit} open requests, and may not have more`,
})

export const noAnswer = (host: string, seconds: number): Refusal => ({
  status: 504,
  reason: 'upstream_timeout',
  message: `${host} did not answer within ${seconds} s`,
})

export const unreachable = (host: string, reason: string, message: string): Refusal => ({
  status: reason === 'timed_out' ? 504 : 502,
  reason,
  message: `the request to ${host} failed: ${message}`,
})

/** Answers in place of the upstream server, and ends the connection with HTTP/1.1. */
export function sendRefusal(downstream: Downstream, refusal: Refusal): void {
  const body = bodyOf(refusal)
  const head: AnswerHead = {
    status: refusal.status,
    headers: headersOf(body),
    endsHere: downstream.method === 'HEAD',
  }
  downstream.closeAfterwards()
  downstream.sendHead(head)
  if (!head.endsHere) downstream.sink.end(body)
  // a stream would stay open for as long as its client sends; a connection of HTTP/1.1 closes
  if (downstream.isHttp2 && downstream.hasBody) downstream.dropRest()
}

/** Returns a whole answer in HTTP/1.1, for connections that are not answered by a server of Node. */
export function refusalText(refusal: Refusal, statusText: string): string {
  const body = bodyOf(refusal)
  const headers = headersOf(body)
  let head = `HTTP/1.1 ${refusal.status} ${statusText}\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  return `${head}Connection: close\r\n\r\n${body}`
}

export const bodyOf = ({ status, reason, message, remedy, rule }: Refusal): string =>
  `${JSON.stringify({ code: status, error: reason, message, rule, remedy })}\n`

export const headersOf = (body: string): RawHeaders => [
  'Content-Type',
  'application/json',
  'Content-Length',
  String(Buffer.byteLength(body)),
  'Cache-Control',
  'no-store',
]
