import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Http1Downstream } from './downstream1.ts'
import { requestHeaders, responseHeaders, valuesOf } from './headers.ts'
import { sendRefusal } from './refusal.ts'
import { type Admitted, type RequestScope, type Requests, refusalOf, refusedOutcome } from './requests.ts'
import { startRequest } from './upstream1.ts'

/**
 * Serves a request to change the protocol, e.g. to WebSocket. If the server agrees, bytes are passed between the two
 * connections. Resolves when both are closed.
 */
export async function tunnel(
  requests: Requests,
  scope: RequestScope,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const startedAtMs = Date.now()
  const response = responseOn(request, socket)
  const downstream = new Http1Downstream(request, response)
  socket.on('error', () => socket.destroy())
  const admission = await requests.admit(scope, downstream)
  if ('refusal' in admission) {
    requests.record(scope, downstream, startedAtMs, admission, refusedOutcome(admission.refusal))
    sendRefusal(downstream, admission.refusal)
    return
  }
  const passing = new Tunnel(socket, head, requests.idleTimeoutMs)
  const outcome = await passing.run(admission, downstream)
  requests.record(scope, downstream, startedAtMs, admission, outcome)
}

type Outcome = Parameters<Requests['record']>[4]

class Tunnel {
  readonly #client: Duplex
  readonly #clientHead: Buffer
  readonly #idleTimeoutMs: number
  readonly #ended = Promise.withResolvers<Outcome>()

  constructor(client: Duplex, clientHead: Buffer, idleTimeoutMs: number) {
    this.#client = client
    this.#clientHead = clientHead
    this.#idleTimeoutMs = idleTimeoutMs
  }

  run(admitted: Admitted, downstream: Http1Downstream): Promise<Outcome> {
    const { host, origin, replaced, shown } = admitted
    const { method, headers } = downstream
    const upstream = startRequest(origin.tunnelAgent, {
      isHttp2: false,
      method,
      path: host.path,
      ...(host.authority !== undefined && { authority: host.authority }),
      headers: [
        ...requestHeaders({ method, headers, hasBody: false, expectsContinue: false }, replaced),
        ...['Connection', 'Upgrade', 'Upgrade', valuesOf(headers, 'upgrade').join(', ')],
      ],
      hasBody: false,
    })
    const timer = setTimeout(() => upstream.destroy(new Error('no answer in time')), this.#idleTimeoutMs)
    const fail = (error: Error): void => {
      clearTimeout(timer)
      const refusal = refusalOf(error, shown)
      if (downstream.isHeadSent) downstream.abort()
      else if (!this.#client.destroyed) sendRefusal(downstream, refusal)
      this.#ended.resolve({ ...refusedOutcome(refusal), verdict: 'failed' })
    }
    const onClientGone = () => upstream.destroy(new Error('the client has closed the connection'))
    this.#client.once('close', onClientGone)
    upstream.once('upgrade', (answer, server, serverHead) => {
      clearTimeout(timer)
      this.#client.off('close', onClientGone)
      this.#client.write(formatHead(answer), 'latin1')
      this.#join(server as Socket, serverHead, answer.statusCode ?? 101)
    })
    upstream.once('response', (answer) => {
      clearTimeout(timer)
      try {
        this.#passAnswer(answer, downstream)
      } catch (error) {
        fail(error as Error)
      }
    })
    upstream.on('error', fail)
    upstream.end()
    return this.#ended.promise
  }

  /** The server answers the request like any other. */
  #passAnswer(answer: IncomingMessage, downstream: Http1Downstream): void {
    const status = answer.statusCode ?? 502
    const counted = { bytesOut: 0, bytesIn: 0 }
    downstream.closeAfterwards()
    downstream.sendHead({
      status,
      reason: answer.statusMessage,
      headers: responseHeaders(answer.rawHeaders),
      endsHere: false,
    })
    const idle = setTimeout(() => answer.destroy(), this.#idleTimeoutMs)
    answer.pipe(downstream.sink)
    answer.on('data', (chunk: Buffer) => {
      counted.bytesIn += chunk.length
      idle.refresh()
    })
    answer.once('error', () => downstream.abort())
    answer.once('close', () => {
      clearTimeout(idle)
      if (answer.complete) this.#ended.resolve({ ...counted, status, verdict: 'allowed' })
      else this.#ended.resolve({ ...counted, status, verdict: 'failed', reason: 'upstream_broken' })
    })
  }

  /** Passes bytes in both directions until one side ends; an unclean end of one side breaks the other. */
  #join(server: Socket, serverHead: Buffer, status: number): void {
    const client = this.#client
    const counted = { bytesOut: 0, bytesIn: 0 }
    const idle = setTimeout(() => server.destroy(), this.#idleTimeoutMs)
    const count = (direction: keyof typeof counted) => (chunk: Buffer) => {
      counted[direction] += chunk.length
      idle.refresh()
    }
    if (serverHead.length > 0) server.unshift(serverHead)
    if (this.#clientHead.length > 0) client.unshift(this.#clientHead)
    server.on('error', () => server.destroy())
    server.once('close', () => {
      clearTimeout(idle)
      if (server.readableEnded) client.end()
      else client.destroy()
      this.#ended.resolve({ ...counted, status, verdict: 'allowed' })
    })
    client.once('close', () => {
      if (client.readableEnded) server.end()
      else server.destroy()
    })
    server.pipe(client)
    client.pipe(server)
    server.on('data', count('bytesIn'))
    client.on('data', count('bytesOut'))
  }
}

function responseOn(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(socket as Socket)
  response.once('finish', () => socket.end())
  return response
}

function formatHead(answer: IncomingMessage): string {
  const upgrade = valuesOf(answer.rawHeaders, 'upgrade').join(', ')
  const headers = [...responseHeaders(answer.rawHeaders), 'Connection', 'Upgrade', 'Upgrade', upgrade]
  let head = `HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  return `${head}\r\n`
}
