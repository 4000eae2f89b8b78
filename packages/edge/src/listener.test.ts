import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type CertificateStore, openCertificateStore } from './certificate-store.ts'
import { createListener, type Listener, type ListenerOptions } from './listener.ts'
import { ask, sendRaw } from './test-support/raw-request.ts'
import { textOf } from './test-support/sandbox-world.ts'
import { temporaryDirectory } from './test-support/temporary-directory.ts'

let tls: CertificateStore
let listener: Listener | undefined

beforeAll(async () => {
  tls = await openCertificateStore(join(temporaryDirectory(), 'ca'), 'sandlot.localhost')
})
afterEach(async () => {
  await listener?.close(0)
  listener = undefined
})

async function listen(options: Partial<ListenerOptions> = {}): Promise<number> {
  listener = await createListener({
    hosts: ['127.0.0.1', '::1'],
    port: 0,
    tls,
    onRequest: (request, response) => void (response as ServerResponse).end(`HTTP/${request.httpVersion}`),
    onUpgrade: (_, socket) => void socket.destroy(),
    ...options,
  })
  return listener.port
}

const secure = (port: number, ALPNProtocols?: string[]) =>
  connectTls({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca: readFileSync(tls.caPath),
    ALPNProtocols,
  })

/** Resolves when the socket has closed, cleanly or not. */
const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket
      .resume()
      .on('error', () => {})
      .once('close', () => resolve())
  })

it('a handler that throws ends its own connection and nothing else', async () => {
  const failures: unknown[] = []
  const fail = () => {
    throw new Error('an unexpected error')
  }
  const port = await listen({
    onRequest: (request, response) =>
      request.url === '/bad' ? fail() : void (response as ServerResponse).end('fine'),
    onUpgrade: fail,
    onFailure: (error) => failures.push(error),
  })
  expect(await sendRaw(port, 'GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n')).toBe('')
  expect(
    await sendRaw(port, 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  ).toBe('')
  const session = connectHttp2(`https://localhost:${port}`, { ca: readFileSync(tls.caPath) })
  const bad = session.request({ ':path': '/bad' }).on('error', () => {})
  await once(bad, 'close')
  const good = session.request({ ':path': '/' })
  const [headers] = await once(good, 'response')
  expect(headers[':status']).toBe(200)
  session.destroy()
  expect(failures).toHaveLength(3)
})

const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4

/** One frame of HTTP/2 (RFC 9113, 4.1). */
function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

describe('one port', () => {
  it('speaks HTTP/1.1 and TLS with either version of HTTP, on IPv4 and IPv6', async () => {
    const port = await listen()
    for (const host of ['127.0.0.1', '::1']) expect((await ask(port, { host })).body).toBe('HTTP/1.1')
    const socket = secure(port, ['http/1.1'])
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
    expect(await textOf(socket)).toContain('HTTP/1.1 200 OK')
    const session = connectHttp2(`https://localhost:${port}`, { ca: readFileSync(tls.caPath) })
    expect(await textOf(session.request({ ':path': '/' }))).toBe('HTTP/2.0')
    session.close()
  })

  it('that is in use is a conflict that names the port', async () => {
    const port = await listen()
    const second = createListener({ hosts: ['127.0.0.1'], port, tls, onRequest() {}, onUpgrade() {} })
    await expect(second).rejects.toMatchObject({
      errorName: 'conflict',
      message: expect.stringContaining(String(port)),
    })
  })
})

describe('a client that stalls its connection is dropped', () => {
  it('before the first byte', async () => {
    const port = await listen({ openTimeoutMs: 100 })
    await once(connect(port, '127.0.0.1').resume(), 'close')
  })

  it('in the TLS handshake', async () => {
    const port = await listen({ openTimeoutMs: 100 })
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from([0x16, 3, 1])))
    await once(socket.resume(), 'close')
  })

  it('in the head of a request', async () => {
    const port = await listen({ headTimeoutMs: 200 })
    expect(await sendRaw(port, 'GET / HTTP/1.1\r\nHost: x\r\n')).toMatch(/^HTTP\/1.1 408 /)
  })

  it('with a head beyond 64 KiB', async () => {
    const port = await listen()
    expect(await sendRaw(port, `GET / HTTP/1.1\r\nx: ${'y'.repeat(70_000)}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 431 /,
    )
    expect((await ask(port, { headers: { x: 'y'.repeat(60_000) } })).status).toBe(200)
  })

  it('when it opens and resets streams as fast as it can', async () => {
    let asked = 0
    const port = await listen({ onRequest: () => void asked++ })
    const socket = secure(port, ['h2'])
    await once(socket, 'secureConnect')
    socket.on('error', () => {})
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    socket.write(frame(SETTINGS, 0, 0))
    const head = Buffer.from([0x82, 0x87, 0x84, 0x41, 1, 0x78])
    for (let stream = 1; stream < 20_000; stream += 2) {
      socket.write(
        Buffer.concat([
          frame(HEADERS, 5, stream, head),
          frame(RST_STREAM, 0, stream, Buffer.from([0, 0, 0, 8])),
        ]),
      )
    }
    await closed(socket)
    expect(asked).toBeLessThan(2000)
  })
})

describe('a request', () => {
  it.each([
    ['with two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n'],
    ['with the same host twice', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n'],
    ['for another host than its target', 'GET http://b/ HTTP/1.1\r\nHost: a\r\n'],
    ['of HTTP/1.0 with two hosts', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n'],
    ['to upgrade with two hosts', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nUpgrade: x\r\n'],
  ])('%s is refused', async (_, head) => {
    const port = await listen()
    const connection = head.includes('Upgrade') ? 'Upgrade' : 'close'
    const answer = await sendRaw(port, `${head}Connection: ${connection}\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1.1 400 [\s\S]*more than one host/)
  })

  it('of HTTP/2 with another host than its authority is refused', async () => {
    const port = await listen()
    const session = connectHttp2(`https://localhost:${port}`, { ca: readFileSync(tls.caPath) })
    const ask = (host: string) => textOf(session.request({ ':path': '/', ':authority': 'localhost', host }))
    expect(await ask('other.test')).toContain('more than one host')
    expect(await ask('localhost')).toBe('HTTP/2.0')
    session.close()
  })

  it('with an upgrade header and a body is an ordinary request', async () => {
    const port = await listen({
      onRequest: async (request, response) =>
        void (response as ServerResponse).end(await textOf(request as IncomingMessage)),
    })
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
    const head = `POST / HTTP/1.0\r\nHost: x\r\n${upgrade}Content-Length: 4\r\n\r\n`
    expect(await sendRaw(port, `${head}body`)).toMatch(/\r\n\r\nbody$/)
  })

  it('after a hundred others without an answer breaks the connection', async () => {
    let asked = 0
    const port = await listen({ onRequest: () => void asked++ })
    const socket = connect(port, '127.0.0.1')
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(5_000))
    await closed(socket)
    expect(asked).toBe(100)
  })

  it('that was answered before its body arrived holds its connection for seconds only', async () => {
    const port = await listen()
    const start = performance.now()
    expect(await sendRaw(port, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1')).toContain(
      '200 OK',
    )
    expect(performance.now() - start).toBeLessThan(8_000)
  })
})

describe('an idle connection', () => {
  const forApi: ListenerOptions['onRequest'] = (_, response, connection) => {
    connection.endSoon()
    ;(response as ServerResponse).end('done')
  }

  it('is closed early when its handler requested that, and announces the time', async () => {
    const port = await listen({ shortIdleMs: 1_000, onRequest: forApi })
    const answer = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    expect(answer).toMatch(/keep-alive: timeout=1\r\n/i)
  })

  it('otherwise stays open as long as sandboxes need, and announces the time', async () => {
    const port = await listen({ shortIdleMs: 100 })
    const { headers } = await ask(port, { agent: undefined })
    expect(headers['keep-alive']).toBe('timeout=620')
  })

  it('of HTTP/2 is closed early too', async () => {
    const port = await listen({ shortIdleMs: 500, onRequest: forApi })
    const session = connectHttp2(`https://localhost:${port}`, { ca: readFileSync(tls.caPath) })
    expect(await textOf(session.request({ ':path': '/' }))).toBe('done')
    const start = performance.now()
    await once(session, 'close')
    expect(performance.now() - start).toBeLessThan(8_000)
  })
})

describe('more connections than the limit', () => {
  it('are refused with the reason, and open connections keep working', async () => {
    const port = await listen({ maxConnections: 2 })
    const open = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all(open.map((socket) => once(socket, 'connect')))
    const refused = await ask(port)
    expect(refused.status).toBe(503)
    expect(JSON.parse(refused.body)).toMatchObject({ code: 503, message: expect.stringContaining('2 conn') })
    await closed(secure(port))
    open[0]!.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(await textOf(open[0]!)).toContain('200 OK')
    await expect.poll(async () => (await ask(port)).status).toBe(200)
    open[1]!.destroy()
  })
})

describe('closing', () => {
  it('lets pending requests end, and closes idle connections', async () => {
    let answer: (() => void) | undefined
    const port = await listen({
      onRequest: (_, response) => void (answer = () => (response as ServerResponse).end('done')),
    })
    const idle = connect(port, '127.0.0.1')
    await once(idle, 'connect')
    const pending = new Promise<IncomingMessage>((resolve) => get({ port, host: '127.0.0.1' }, resolve))
    await expect.poll(() => answer).toBeDefined()
    const closed = listener!.close(15_000)
    idle.destroy()
    answer?.()
    expect(await textOf(await pending)).toBe('done')
    const start = performance.now()
    await closed
    expect(performance.now() - start).toBeLessThan(10_000)
  })

  it('breaks requests that take longer than the grace period', async () => {
    let isAsked = false
    const port = await listen({ onRequest: () => void (isAsked = true) })
    const pending = ask(port)
    pending.catch(() => {})
    await expect.poll(() => isAsked).toBe(true)
    await listener!.close(100)
    await expect(pending).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})
