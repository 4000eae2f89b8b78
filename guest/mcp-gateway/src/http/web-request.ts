import type { IncomingMessage, ServerResponse } from 'node:http'

/** What a client has not read yet; beyond this, its stream is closed, and it can come back for the events it missed. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024

/** A body that is too large. */
export class BodyTooLarge extends Error {}

/**
 * Reads a body.
 * @throws {BodyTooLarge} as soon as it is known to have more than `maxBytes`
 */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw new BodyTooLarge()
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw new BodyTooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/**
 * Makes the request that the SDK's transports take, without its body, which they get parsed. Its signal aborts when the
 * client goes away.
 */
export function webRequest(request: IncomingMessage, response: ServerResponse): Request {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  const headers = new Headers()
  for (const [name, value] of Object.entries(request.headers)) {
    if (value !== undefined && !name.startsWith(':')) headers.set(name, String(value))
  }
  return new Request(`http://localhost${request.url}`, {
    method: request.method!,
    headers,
    signal: gone.signal,
  })
}

/**
 * Sends what a transport answered, and resolves when it is sent or the client is gone. Reads faster than the client if it
 * has to: the SDK's streams would otherwise collect without a bound what a client does not read.
 */
export async function sendResponse(answer: Response, response: ServerResponse): Promise<void> {
  response.writeHead(answer.status, Object.fromEntries(answer.headers))
  if (!answer.body) return void response.end()
  response.flushHeaders()
  const reader = answer.body.getReader()
  response.once('close', () => void reader.cancel().catch(() => {}))
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      response.write(value)
      if (response.writableLength > MAX_UNREAD_BYTES) return void response.destroy()
    }
    response.end()
  } catch {
    response.destroy()
  }
}
