import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import { createServer, type Server } from 'node:https'
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, sendRaw } from './test-support/raw-request.ts'
import { echo, newAddress, startEdge, startEnvd, startServer } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
let world: Awaited<ReturnType<typeof startEdge>>
let app: Server
let port: number
let plain: HttpServer & { port: number }
let mute: TcpServer
let envd: HttpServer
let handshakes: string[] = []

beforeAll(async () => {
  world = await startEdge({ idleTimeoutMs: 2_000 })
  const { keyPem, certificatePem } = await world.tls.defaultLeaf()
  app = createServer({ key: keyPem, cert: certificatePem }, (request, response) => {
    if (request.url === '/stream') {
      response.write('first')
      request.once('end', () => response.end(' last'))
      return void request.resume()
    }
    void echo(request, response)
  })
  app.on('secureConnection', (socket: TLSSocket & { servername?: string }) =>
    handshakes.push(`${socket.servername} ${socket.alpnProtocol} ${socket.getProtocol()}`),
  )
  const sockets = new WebSocketServer({ noServer: true })
  app.on('upgrade', (request, socket, head) =>
    sockets.handleUpgrade(request, socket, head, (ws) => ws.on('message', (data) => ws.send(`echo ${data}`))),
  )
  app.listen(0, ADDRESS)
  await once(app, 'listening')
  port = (app.address() as AddressInfo).port
  plain = await startServer(ADDRESS, echo)
  mute = createTcpServer((socket) => socket.on('error', () => {}).resume())
  mute.listen(0, ADDRESS)
  await once(mute, 'listening')
  envd = await startEnvd(ADDRESS, (_, response) => response.writeHead(404).end())
  const { port: mutePort } = mute.address() as AddressInfo
  world.directory.add({ sandboxId: 'itls', address: ADDRESS, httpsPorts: [port, plain.port, mutePort, 4] })
  world.directory.add({
    sandboxId: 'imask',
    address: ADDRESS,
    httpsPorts: [port],
    maskRequestHost: 'app.example:${PORT}',
  })
  world.directory.add({ sandboxId: 'iplain', address: ADDRESS })
})
afterAll(async () => {
  await world.close()
  for (const server of [app, plain, envd]) {
    server.closeAllConnections()
    server.close()
  }
  mute.close()
})

const hostOf = (sandboxId: string, to: number) => `${to}-${sandboxId}.sandlot.localhost`
const to = (sandboxId: string, toPort: number, rest: Parameters<typeof ask>[1] = {}) =>
  ask(world.port, { ...rest, headers: { host: hostOf(sandboxId, toPort), ...rest.headers } })

it('requests reach a server that speaks TLS, whoever signed its certificate, and connections are reused', async () => {
  handshakes = []
  for (const body of ['one', 'two']) {
    const answer = await to('itls', port, { method: 'POST', path: '/x', body })
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.body)).toMatchObject({
      method: 'POST',
      url: '/x',
      body,
      headers: { host: hostOf('itls', port), 'x-forwarded-proto': 'http' },
    })
  }
  expect(handshakes).toEqual([`${hostOf('itls', port)} http/1.1 TLSv1.3`])
})

it('the server is asked for the certificate of the masked host', async () => {
  handshakes = []
  const seen = JSON.parse((await to('imask', port)).body)
  expect(seen.headers.host).toBe(`app.example:${port}`)
  expect(handshakes).toEqual(['app.example http/1.1 TLSv1.3'])
})

it('a body streams both ways', async () => {
  const socket = connect(world.port, '127.0.0.1')
  socket.write(
    `POST /stream HTTP/1.1\r\nHost: ${hostOf('itls', port)}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n`,
  )
  let received = ''
  await new Promise<void>((resolve) => {
    socket.on('data', (chunk) => {
      received += chunk
      if (received.includes('first')) resolve()
    })
  })
  socket.write('0\r\n\r\n')
  await once(socket, 'end')
  expect(received).toContain(' last')
})

it.each(['ws', 'wss'])('WebSockets pass, requested over %s', async (scheme) => {
  const ws = new WebSocket(`${scheme}://127.0.0.1:${world.port}/ws`, {
    headers: { host: hostOf('itls', port) },
    rejectUnauthorized: false,
  })
  await once(ws, 'open')
  ws.send('hello')
  const [data] = await once(ws, 'message')
  expect(String(data)).toBe('echo hello')
  ws.close()
  await once(ws, 'close')
})

it('killing the sandbox breaks its streams', async () => {
  world.directory.add({ sandboxId: 'ikilled', address: ADDRESS, httpsPorts: [port] })
  const ws = new WebSocket(`ws://127.0.0.1:${world.port}/ws`, { headers: { host: hostOf('ikilled', port) } })
  await once(ws, 'open')
  world.directory.kill('ikilled')
  const [code] = await once(ws, 'close')
  expect(code).toBe(1006)
})

it('a server without TLS, and one that never answers, is a 502 that names httpsPorts', async () => {
  const wrong = {
    sandboxId: 'itls',
    message: 'The server on the port does not speak TLS, which httpsPorts of the sandbox promises',
    code: 502,
  }
  const answer = await to('itls', plain.port)
  expect([answer.status, JSON.parse(answer.body)]).toEqual([502, { ...wrong, port: plain.port }])
  const upgrade = `GET /ws HTTP/1.1\r\nHost: ${hostOf('itls', plain.port)}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
  expect(await sendRaw(world.port, upgrade)).toContain(wrong.message)
  const { port: mutePort } = mute.address() as AddressInfo
  const silent = await to('itls', mutePort)
  expect([silent.status, JSON.parse(silent.body)]).toEqual([502, { ...wrong, port: mutePort }])
}, 10_000)

it('a closed port is still called closed', async () => {
  const answer = await to('itls', 4)
  expect(JSON.parse(answer.body)).toMatchObject({ message: 'The sandbox is running but port is not open' })
})

it('without httpsPorts the edge speaks no TLS', async () => {
  expect((await to('iplain', plain.port)).status).toBe(200)
  expect((await to('iplain', port)).status).not.toBe(200)
})
