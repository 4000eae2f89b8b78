import type { ServerResponse } from 'node:http'
import { type SandboxTarget, SandlotError } from '@sandlot/protocol'
import { PortClosedError } from './dial.ts'
import { TlsFailedError } from './dial-tls.ts'
import { renderErrorPage } from './error-page.ts'
import { type EdgeRequest, type EdgeResponse, headerOf, isHttp2Response } from './message.ts'

/** An answer that the edge gives in place of a sandbox. */
export interface Refusal {
  status: number
  /** A string is sent as plain text, an object as JSON with its keys in this order (wire spec 3). */
  body: string | JsonBody
  retryAfterSeconds?: number
  /** Sent as `Should-Retry`; undefined: clients decide by the status. */
  shouldRetry?: boolean
  /** Whether the answer reports why the sandbox went away while the request was pending. */
  isParting?: boolean
}

interface JsonBody {
  sandboxId?: string
  message: string
  port?: number
  code: number
}

export const TRAFFIC_TOKEN_HEADER = 'e2b-traffic-access-token'
/** Set by `e2b sandbox port-forward`: the local host that the user requested, for programs that check the Host header. */
export const GUEST_HOST_HEADER = 'e2b-sandbox-host'

export const invalidRoute = (text: string): Refusal => ({ status: 400, body: text })

/** Refuses an upgrade at a host of the API, which has no WebSockets. */
export const upgradeOfApi = (): Refusal => ({
  status: 400,
  body: {
    code: 400,
    message: 'this host serves the API, which does not support upgrades: use the host of a sandbox',
  },
})

export const invalidTarget = (): Refusal => ({
  status: 400,
  body: { code: 400, message: 'the request target must start with /: absolute URLs are not accepted here' },
})

export const ambiguousHost = (): Refusal => ({
  status: 400,
  body: {
    code: 400,
    message: 'the request names more than one host: send one Host header that matches its target',
  },
})

export const unsendable = (error: unknown): Refusal => ({
  status: 400,
  body: { code: 400, message: `the request cannot be passed on: ${(error as Error).message}` },
})

export const invalidSignature = (): Refusal => ({
  status: 401,
  body: { code: 401, message: 'invalid signature' },
})

export const tooManySignatures = (): Refusal => ({
  status: 429,
  body: { code: 429, message: 'too many invalid signatures: wait, or name the sandbox in the host' },
  retryAfterSeconds: 1,
})

export const controlRoute = (): Refusal => ({ status: 404, body: { code: 404, message: 'not found' } })

type Named = Pick<SandboxTarget, 'sandboxId' | 'calledName'>

/** Returns the sandbox's name that the client used, for answers. */
const nameOf = ({ sandboxId, calledName = sandboxId }: Named): string => calledName

/**
 * PyPI e2b 2.63 looks for the words "was not found". @param shouldRetry false when the sandbox went away while it
 * answered
 */
export const sandboxNotFound = (sandbox: Named, shouldRetry?: boolean): Refusal => ({
  status: 502,
  shouldRetry,
  body: { sandboxId: nameOf(sandbox), message: 'The sandbox was not found', code: 502 },
})

export const sandboxRolledBack = (sandbox: Named): Refusal => ({
  status: 502,
  body: {
    sandboxId: nameOf(sandbox),
    message: 'The sandbox was rolled back while the request was in flight',
    code: 502,
  },
})

export const resumeDenied = (sandbox: Named): Refusal => ({
  status: 403,
  body: {
    sandboxId: nameOf(sandbox),
    message: 'The sandbox is paused: envd resumes it only for its access token or a valid signature',
    code: 403,
  },
})

/** Returns an answer with the error of the failed resume. */
export function notWoken(sandbox: Named, error: unknown): Refusal {
  const sandboxId = nameOf(sandbox)
  if (!(error instanceof SandlotError))
    return { status: 502, body: { sandboxId, message: 'The sandbox could not be resumed', code: 502 } }
  const { status, message, retryAfterSeconds, shouldRetry } = error
  return { status, body: { sandboxId, message, code: status }, retryAfterSeconds, shouldRetry }
}

/** PyPI e2b 2.63 looks for the words "port is not open". */
const portClosed = (target: SandboxTarget): Refusal => ({
  status: 502,
  body: {
    sandboxId: nameOf(target),
    message: 'The sandbox is running but port is not open',
    port: target.port,
    code: 502,
  },
})

/** Nothing of the request was sent. */
const tlsFailed = (target: SandboxTarget): Refusal => ({
  status: 502,
  body: {
    sandboxId: nameOf(target),
    message: 'The server on the port does not speak TLS, which httpsPorts of the sandbox promises',
    port: target.port,
    code: 502,
  },
})

/** @param error of a request to the sandbox that got no answer */
export const unanswered = (target: SandboxTarget, error: unknown): Refusal =>
  error instanceof PortClosedError
    ? portClosed(target)
    : error instanceof TlsFailedError
      ? tlsFailed(target)
      : brokenAnswer(target)

export const brokenAnswer = (target: SandboxTarget): Refusal => ({
  status: 502,
  shouldRetry: false,
  body: {
    sandboxId: nameOf(target),
    message: 'The sandbox closed the connection without a valid answer',
    port: target.port,
    code: 502,
  },
})

export const noAnswer = (target: SandboxTarget, idleTimeoutMs: number): Refusal => ({
  status: 504,
  shouldRetry: false,
  body: {
    sandboxId: nameOf(target),
    message: `The sandbox did not answer for ${idleTimeoutMs / 1000} s`,
    port: target.port,
    code: 504,
  },
})

export const trafficTokenRefused = (sandbox: Named, problem: 'missing' | 'invalid'): Refusal => ({
  status: 403,
  body: {
    sandboxId: nameOf(sandbox),
    message: `Sandbox is secured with traffic access token. Token header '${TRAFFIC_TOKEN_HEADER}' is ${problem}`,
    code: 403,
  },
})

export const tooManyConnections = (sandbox: Named, limit: number): Refusal => ({
  status: 429,
  body: { sandboxId: nameOf(sandbox), message: `The sandbox already has ${limit} connections`, code: 429 },
  retryAfterSeconds: 1,
})

export function sendRefusal(request: EdgeRequest, response: EdgeResponse, refusal: Refusal): void {
  // The compatibility layer of HTTP/2 has the same methods.
  const answer = response as ServerResponse
  // Headers of a head that could not be sent are still set, and would be sent with this head.
  if (!isHttp2Response(response)) answer.statusMessage = ''
  const wanted = headerOf(request, 'access-control-request-headers')
  if (request.method === 'OPTIONS' && headerOf(request, 'access-control-request-method')) {
    // a refused preflight would hide the reason from the page, which can read only the answer to the request itself
    answer.writeHead(204, {
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
      'access-control-max-age': '7200',
      ...(wanted && { 'access-control-allow-headers': wanted }),
    })
    answer.end()
    return
  }
  const [contentType, text] = contentOf(request, refusal)
  const headers: Record<string, string | number> = {
    'access-control-allow-origin': '*',
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox",
  }
  if (refusal.retryAfterSeconds !== undefined) headers['retry-after'] = refusal.retryAfterSeconds
  if (refusal.shouldRetry !== undefined) headers['should-retry'] = String(refusal.shouldRetry)
  answer.writeHead(refusal.status, headers)
  answer.end(request.method === 'HEAD' ? undefined : text)
}

function contentOf(request: EdgeRequest, { status, body }: Refusal): [type: string, text: string] {
  if (typeof body === 'string') return ['text/plain; charset=utf-8', body]
  if (!isBrowserNavigation(request)) return ['application/json', JSON.stringify(body)]
  return ['text/html; charset=utf-8', renderErrorPage(status, body)]
}

/** Whether a browser loads a page for a person, rather than a script that fetches. */
function isBrowserNavigation(request: EdgeRequest): boolean {
  if (!headerOf(request, 'accept')?.includes('text/html')) return false
  const mode = headerOf(request, 'sec-fetch-mode')
  if (mode !== undefined) return mode === 'navigate'
  return headerOf(request, 'user-agent')?.startsWith('Mozilla/') ?? false
}
