import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type http from 'node:http'
import type http2 from 'node:http2'
import { join, normalize } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'

export type Request = http.IncomingMessage | http2.Http2ServerRequest
/** The part of both versions' answers that pages use. */
export type Answer = http.ServerResponse

const CHUNK = Buffer.alloc(256 * 1024, 'x')
/** Files that tests put there: git repositories, packages. */
const FILES = process.env.INTERNET_FILES ?? '/nonexistent'

/** Answers a request by its path; unknown paths show the request as JSON, as `/` does. */
export function pageFor(request: Request, response: Answer): Promise<unknown> | unknown {
  const url = new URL(request.url!, 'http://any')
  const [, page = '', ...rest] = url.pathname.split('/')
  switch (page) {
    case 'bytes':
      return sendBytes(response, Number(rest[0]))
    case 'upload':
      return receive(request, response)
    case 'echo':
      response.writeHead(200)
      return pipeline(request, response)
    case 'redirect':
      return response
        .writeHead(Number(url.searchParams.get('status') ?? 302), { location: url.searchParams.get('to')! })
        .end()
    case 'status':
      return response.writeHead(Number(rest[0])).end()
    case 'events':
      return sendEvents(response, Number(rest[0]), Number(url.searchParams.get('everyMs') ?? 100))
    case 'delay':
      return delay(Number(rest[0])).then(() => response.end('late'))
    case 'files':
      return sendFile(response, rest.join('/'))
    default:
      return describe(request, response)
  }
}

function describe(request: Request, response: Answer): void {
  const socket = request.socket as TLSSocket
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(
    JSON.stringify({
      address: socket.localAddress,
      port: socket.localPort,
      isEncrypted: socket.encrypted === true,
      httpVersion: request.httpVersion,
      method: request.method,
      path: request.url,
      headers: request.headers,
    }),
  )
}

async function sendBytes(response: Answer, size: number): Promise<void> {
  response.writeHead(200, { 'content-length': size, 'content-type': 'application/octet-stream' })
  async function* chunks() {
    for (let left = size; left > 0; left -= CHUNK.length)
      yield left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
  }
  await pipeline(chunks, response)
}

async function receive(request: Request, response: Answer): Promise<void> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    hash.update(chunk)
  }
  response.end(JSON.stringify({ sizeBytes, sha256: hash.digest('hex') }))
}

async function sendEvents(response: Answer, count: number, everyMs: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  for (let i = 0; i < count; i++) {
    response.write(`data: ${i}\n\n`)
    await delay(everyMs)
  }
  response.end()
}

async function sendFile(response: Answer, path: string): Promise<void> {
  const file = await readFile(join(FILES, normalize(`/${path}`))).catch(() => undefined)
  if (file) response.end(file)
  else response.writeHead(404).end()
}
