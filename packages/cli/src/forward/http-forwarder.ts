import {
  createServer,
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
  type Server,
  ServerResponse,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type EdgeAddress, GUEST_HOST_HEADER, isLocal } from './edge-address.ts'

/** Maximum number of connections to the edge; further requests wait. */
const MAX_CONNECTIONS = 100
/** The edge's own limit for silent connections. */
const IDLE_TIMEOUT_MS = 620_000

/** Passes HTTP and WebSocket requests of this machine to the sandbox unchanged. */
export function createHttpForwarder(address: EdgeAddress): Server {
  const isTls = address.base.protocol === 'https:'
  const agent = new (isTls ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: MAX_CONNECTIONS })
  const ask = (request: IncomingMessage, more: RequestOptions) =>
    (isTls ? httpsRequest : httpRequest)(address.base, {
      method: request.method,
      path: request.url,
      headers: headersFor(request, address),
      timeout: IDLE_TIMEOUT_MS,
      setHost: false,
      ...more,
    })

  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (request, response) => {
    const upstream = ask(request, { agent })
    upstream.once('response', (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, hopFree(answer.rawHeaders))
      // Server-sent events may send nothing after the head for a while.
      response.flushHeaders()
      answer.pipe(response)
      answer.once('close', () => !answer.complete && response.destroy())
    })
    upstream.once('timeout', () => upstream.destroy(new Error('no answer')))
    upstream.once('error', (error) => refuse(response, error))
    response.once('close', () => upstream.destroy())
    request.pipe(upstream)
  })

  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const upstream = ask(request, { agent: false })
    socket.on('error', () => socket.destroy())
    socket.once('close', () => upstream.destroy())
    upstream.once('upgrade', (answer, upstreamSocket, upstreamHead) => {
      socket.write(`HTTP/1.1 101 ${answer.statusMessage}\r\n${formatHeaders(answer.rawHeaders)}\r\n`)
      socket.write(upstreamHead)
      upstreamSocket.write(head)
      upstreamSocket.on('error', () => upstreamSocket.destroy())
      upstreamSocket.once('close', () => socket.destroy())
      socket.once('close', () => upstreamSocket.destroy())
      upstreamSocket.pipe(socket).pipe(upstreamSocket)
    })
    upstream.once('response', (answer) => {
      const response = responseOn(request, socket)
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, hopFree(answer.rawHeaders))
      answer.pipe(response)
    })
    upstream.once('error', (error) => refuse(responseOn(request, socket), error))
    upstream.end()
  })
  return server
}

/** The client's headers in their order and spelling, with the sandbox's address. */
function headersFor(request: IncomingMessage, { base, headers }: EdgeAddress): string[] {
  const passed: string[] = []
  const asked = request.headers.host ?? ''
  const guestHost = isLocal(asked) ? [GUEST_HOST_HEADER, asked] : []
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (request.rawHeaders[i]!.toLowerCase() === 'host') continue
    passed.push(request.rawHeaders[i]!, request.rawHeaders[i + 1]!)
  }
  return ['Host', base.host, ...passed, ...guestHost, ...Object.entries(headers).flat()]
}

/** Headers that apply to one connection only (RFC 9110, 7.6.1). */
const HOP_HEADERS = new Set(['connection', 'keep-alive', 'transfer-encoding'])

function hopFree(rawHeaders: string[]): string[] {
  const passed: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!HOP_HEADERS.has(rawHeaders[i]!.toLowerCase())) passed.push(rawHeaders[i]!, rawHeaders[i + 1]!)
  }
  return passed
}

function formatHeaders(rawHeaders: string[]): string {
  let text = ''
  for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`
  return text
}

function responseOn(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket as Socket)
  response.once('finish', () => socket.end())
  return response
}

function refuse(response: ServerResponse, error: Error): void {
  if (response.headersSent) return void response.destroy()
  response.writeHead(502, { 'Content-Type': 'text/plain' }).end(`e2b port-forward: ${error.message}\n`)
}
