import { once } from 'node:events'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'

/** Longest time for a client to take a piece of the answer. */
const DRAIN_TIMEOUT_MS = 120_000
/** Headers that Node or HTTP/2 sets. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding'])

/** Makes a web request without its body, which was parsed before. Its signal aborts when the client goes away. */
export function webRequest(raw: IncomingMessage, response: ServerResponse): Request {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort(new Error('the client went away'))
  })
  const headers = new Headers()
  for (const [name, value] of Object.entries(raw.headers))
    if (value !== undefined && !name.startsWith(':')) headers.set(name, String(value))
  return new Request('http://localhost/mcp', { method: raw.method!, headers, signal: gone.signal })
}

/**
 * Sends a web response at the pace of the client; a client that takes nothing for 2 minutes loses its connection.
 *
 * @param more headers beside those of the answer
 * @param gone aborts when the client goes away
 */
export async function sendStream(
  answer: Response,
  response: ServerResponse,
  more: OutgoingHttpHeaders,
  gone: AbortSignal,
): Promise<void> {
  const headers = Object.entries({ ...more, ...Object.fromEntries(answer.headers) })
  for (const [name, value] of headers)
    if (value !== undefined && !HOP_BY_HOP.has(name)) response.setHeader(name, value)
  response.statusCode = answer.status
  if (!answer.body) return void response.end()
  response.flushHeaders()
  const reader = answer.body.getReader()
  gone.addEventListener('abort', () => void reader.cancel().catch(() => {}))
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done || gone.aborted) break
      if (response.write(value)) continue
      await once(response, 'drain', {
        signal: AbortSignal.any([gone, AbortSignal.timeout(DRAIN_TIMEOUT_MS)]),
      })
    }
    response.end()
  } catch {
    response.destroy()
  } finally {
    // the client may have left before this began
    await reader.cancel().catch(() => {})
  }
}
