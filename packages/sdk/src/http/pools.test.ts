import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { pooledFetch } from './pools.ts'

let server: Server
let url: string
let sockets: Set<Socket>
let received: { type?: string; length?: string; body: string }[]

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const body = await text(request)
    const { 'content-type': type, 'content-length': length } = request.headers
    received.push({ type, length, body })
    response.end('ok')
  })
  server.on('connection', (socket) => void sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  sockets = new Set()
  received = []
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

async function text(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += chunk
  return body
}

test('consecutive calls share a connection, also through different fetch functions of one use', async () => {
  for (let i = 0; i < 20; i++) await (await pooledFetch('api')(url)).text()
  // undici frees a connection a moment after the body's end, so that a second one may have been opened
  expect(sockets.size).toBeLessThanOrEqual(2)
})

test('uses do not share connections', async () => {
  await (await pooledFetch('rpc')(url)).text()
  await (await pooledFetch('files')(url)).text()
  expect(sockets.size).toBe(2)
})

test('a Request, a form and a stream of the runtime arrive unchanged', async () => {
  const fetch = pooledFetch('api')
  await (await fetch(new Request(url, { method: 'POST', body: 'request' }))).text()
  const form = new FormData()
  form.append('file', new Blob(['content']), 'a/b.txt')
  await (await fetch(url, { method: 'POST', body: form })).text()
  const stream = new Blob(['stream']).stream()
  await (await fetch(url, { method: 'POST', body: stream, duplex: 'half' } as RequestInit)).text()
  expect(received[0]).toMatchObject({ body: 'request', type: 'text/plain;charset=UTF-8' })
  expect(received[1]?.type).toMatch(/^multipart\/form-data; boundary=/)
  expect(received[1]?.body).toMatch(/name="file"; filename="a\/b.txt"[\s\S]*content/)
  expect(received[2]).toMatchObject({ body: 'stream', length: undefined })
})

test('a body of known length is sent with its length', async () => {
  await (await pooledFetch('files')(url, { method: 'POST', body: new Uint8Array([65, 66]) })).text()
  expect(received[0]).toMatchObject({ body: 'AB', length: '2' })
})

test('a proxy gets the requests', async () => {
  const targets: string[] = []
  const proxy = createServer((request, response) => {
    targets.push(request.url!)
    response.end('from the proxy')
  })
  proxy.on('connect', (request, socket) => {
    targets.push(request.url!)
    socket.end('HTTP/1.1 200 OK\r\n\r\n')
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  await pooledFetch('api', proxyUrl)(url, { signal: AbortSignal.timeout(1_000) }).catch(() => {})
  expect(targets[0]).toContain(new URL(url).host)
  expect(received).toEqual([])
  proxy.closeAllConnections()
  proxy.close()
})

test('a signal ends a request with its reason', async () => {
  const silent = createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const signal = AbortSignal.timeout(50)
  const target = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  await expect(pooledFetch('api')(target, { signal })).rejects.toHaveProperty('name', 'TimeoutError')
  silent.closeAllConnections()
  silent.close()
})
