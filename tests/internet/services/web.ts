import { once } from 'node:events'
import http from 'node:http'
import http2 from 'node:http2'
import type net from 'node:net'
import type { Duplex } from 'node:stream'
import { createSecureContext, type TLSSocket } from 'node:tls'
import { WebSocketServer } from 'ws'
import { PORTS } from '../addresses.ts'
import type { Certificates } from '../certificate.ts'
import { type Answer, pageFor, type Request } from './pages.ts'
import type { Records } from './records.ts'
import { UNTRUSTED } from './zone.ts'

/** Web servers of the internet: HTTP/1.1, and HTTP/1.1 and HTTP/2 over TLS; every request is recorded when it has ended. */
export async function startWeb(records: Records, certificates: Certificates): Promise<void> {
  const sockets = new WebSocketServer({ noServer: true })
  sockets.on('connection', (socket) => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    socket.on('error', () => {})
  })
  const onRequest = (request: Request, response: Answer) => {
    record(records, request)
    response.on('error', () => {})
    Promise.resolve(pageFor(request, response)).catch((error: Error) => {
      if (response.headersSent) response.destroy?.()
      else response.writeHead(500).end(error.message)
    })
  }
  const onUpgrade = (request: http.IncomingMessage, socket: Duplex, head: Buffer) => {
    record(records, request)
    sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client, request))
  }
  for (const port of PORTS.http) {
    const server = http.createServer({ requestTimeout: 0 }, onRequest).on('upgrade', onUpgrade)
    await listen(server, port, records)
  }
  const untrusted = createSecureContext(certificates.untrusted)
  for (const port of PORTS.https) {
    const server = http2.createSecureServer({
      ...certificates.trusted,
      allowHTTP1: true,
      SNICallback: (name, done) => done(null, name === UNTRUSTED ? untrusted : undefined),
    })
    // node's types know no upgrade here, but its HTTP/1.1 side emits the event
    server.on('request', onRequest).on('upgrade' as 'close', onUpgrade as () => void)
    server.on('tlsClientError', () => {})
    server.on('sessionError', () => {})
    await listen(server, port, records)
  }
}

async function listen(server: net.Server, port: number, records: Records): Promise<void> {
  server.on('connection', (socket: net.Socket) => {
    // HTTP/2 emits the event once more for each decrypted connection
    if (!('encrypted' in socket)) records.add('connections', { address: socket.localAddress!, port })
    socket.on('error', () => {})
  })
  server.listen(port, '0.0.0.0', 4_096)
  await once(server, 'listening')
}

function record(records: Records, request: Request): void {
  const socket = request.socket as TLSSocket
  const recorded = {
    address: socket.localAddress!,
    port: socket.localPort!,
    isEncrypted: socket.encrypted === true,
    serverName: typeof socket.servername === 'string' ? socket.servername : undefined,
    httpVersion: request.httpVersion,
    method: request.method!,
    path: request.url!,
    headers: Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [name, [value].flat().join(', ')]),
    ),
    bodyBytes: 0,
  }
  records.add('requests', recorded)
  request.on('data', (chunk: Buffer) => void (recorded.bodyBytes += chunk.length))
}
