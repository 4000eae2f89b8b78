import { request as httpRequest, type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SandboxTarget } from '@sandlot/protocol'
import { type Crossing, contained } from './crossing.ts'
import { downstreamOf } from './downstream.ts'
import { passAnswer } from './exchange.ts'
import type { RawHeaders } from './message.ts'
import { brokenAnswer, noAnswer, type Refusal, sendRefusal, unanswered } from './refusal.ts'
import { MAX_HEADER_BYTES, type SandboxConnections } from './sandbox-connections.ts'
import { onUnwantedAnswer } from './unwanted-answer.ts'

export interface TunnelOptions {
  request: IncomingMessage
  socket: Duplex
  /** Bytes that the client sent after the head. */
  head: Buffer
  connections: SandboxConnections
  target: SandboxTarget
  headers: RawHeaders
  crossing: Crossing
  idleTimeoutMs: number
}

/** Asks the sandbox to change the protocol. If the sandbox agrees, bytes are passed between the two connections. */
export function tunnel(options: TunnelOptions): void {
  const { request, socket, connections, target, idleTimeoutMs } = options
  let isOver = false
  const upstream = httpRequest({
    agent: connections.freshAgent(),
    host: connections.address,
    port: target.port,
    method: request.method,
    path: request.url,
    headers: options.headers,
    timeout: idleTimeoutMs,
    maxHeaderSize: MAX_HEADER_BYTES,
  })
  const untrack = connections.track(() => {
    isOver = true
    upstream.destroy()
    socket.destroy()
  })
  socket.on('error', () => socket.destroy())
  socket.once('close', () => {
    untrack()
    isOver = true
    upstream.destroy()
  })
  upstream.once('upgrade', (answer, upstreamSocket, upstreamHead) => {
    isOver = true
    socket.write(formatHead(answer, options.crossing), 'latin1')
    join(socket, upstreamSocket as Socket, options.head, upstreamHead, idleTimeoutMs)
  })
  upstream.once('response', (answer) => {
    isOver = true
    const response = responseOn(request, socket)
    const downstream = downstreamOf(request, response)
    upstream.once('timeout', () => downstream.abort())
    passAnswer(answer, downstream, { crossing: options.crossing, connections, idleTimeoutMs }, () => {
      if (downstream.isHeadSent) downstream.abort()
      else sendRefusal(request, response, brokenAnswer(target))
    })
  })
  onUnwantedAnswer(upstream, { mayUpgrade: true }, () => fail(brokenAnswer(target)))
  upstream.once('timeout', () => fail(noAnswer(target, idleTimeoutMs)))
  upstream.on('error', (error) => fail(unanswered(target, error)))
  upstream.end()

  function fail(refusal: Refusal): void {
    upstream.destroy()
    if (isOver) return
    isOver = true
    refuseUpgrade(request, socket, refusal)
  }
}

/** Answers a request for an upgrade like any other; the connection cannot be used afterwards. */
export function refuseUpgrade(request: IncomingMessage, socket: Duplex, refusal: Refusal): void {
  socket.on('error', () => socket.destroy())
  sendRefusal(request, responseOn(request, socket), refusal)
}

function responseOn(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket as Socket)
  response.once('finish', () => socket.end())
  return response
}

function formatHead(answer: IncomingMessage, crossing: Crossing): string {
  const raw = contained(answer.rawHeaders, crossing)
  let head = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`
  for (let i = 0; i < raw.length; i += 2) head += `${raw[i]}: ${raw[i + 1]}\r\n`
  return `${head}\r\n`
}

/** Passes bytes in both directions until one side ends; an unclean end of one side breaks the other. */
function join(
  client: Duplex,
  server: Socket,
  clientHead: Buffer,
  serverHead: Buffer,
  idleTimeoutMs: number,
): void {
  if (serverHead.length > 0) server.unshift(serverHead)
  if (clientHead.length > 0) client.unshift(clientHead)
  server.setTimeout(idleTimeoutMs, () => server.destroy())
  server.on('error', () => server.destroy())
  server.once('close', () => {
    if (!server.readableEnded) {
      client.destroy()
      return
    }
    client.end()
    // breaks the connection of a client that does not read the rest
    const timer = setTimeout(() => client.destroy(), idleTimeoutMs)
    client.once('close', () => clearTimeout(timer))
  })
  client.once('close', () => {
    if (client.readableEnded) server.end()
    else server.destroy()
  })
  server.pipe(client)
  client.pipe(server)
}
