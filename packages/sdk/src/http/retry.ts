import type { Logger } from '../logger.ts'

/** Limit of all waits and attempts together, for a request without a timeout. */
const UNLIMITED_REQUEST_WAIT_MS = 60_000

/**
 * Retries a request that was answered with 429 or 503 and a `Retry-After` of whole seconds, if the wait still fits
 * into the request timeout. Only for requests with a small body, as the body is kept for the next attempt.
 */
export function retryWhenBusy(
  fetch: typeof globalThis.fetch,
  { requestTimeoutMs, retries, logger }: { requestTimeoutMs: number; retries: number; logger?: Logger },
): (request: Request) => Promise<Response> {
  return async (request) => {
    const deadline = Date.now() + (requestTimeoutMs || UNLIMITED_REQUEST_WAIT_MS)
    const { method, url, signal } = request
    const body = request.body ? await request.text() : undefined
    const init = { method, headers: [...request.headers] as [string, string][], body, signal }
    for (let attempt = 0; ; attempt++) {
      const response = await fetch(url, init)
      const waitMs = retryAfterMs(response)
      if (waitMs === undefined || attempt >= retries || Date.now() + waitMs >= deadline) return response
      // reads the body to its end, as otherwise the connection does not return to its pool
      await response.arrayBuffer()
      logger?.debug?.(`${response.status} for ${method} ${url}: next attempt in ${waitMs} ms`)
      await abortableWait(waitMs, signal)
    }
  }
}

/** @returns the wait before the next attempt; undefined when the answer must not be retried */
export function retryAfterMs(response: Response): number | undefined {
  if (response.status !== 429 && response.status !== 503) return undefined
  const header = response.headers.get('retry-after')?.trim()
  return header && /^\d+$/.test(header) ? Number(header) * 1000 : undefined
}

function abortableWait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
