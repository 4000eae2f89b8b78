import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { get, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
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

  it('that is taken is a conflict which names it', async () => {
    const port = await listen()
    const second = createListener({ hosts: ['127.0.0.1'], port, tls, onRequest() {}, onUpgrade() {} })
    await expect(second).rejects.toMatchObject({
      errorName: 'conflict',
      message: expect.stringContaining(String(port)),
    })
  })
})

describe('a client that holds its connection up is dropped', () => {
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

  it('or opens and resets streams as fast as it can', async () => {
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
    const closed = once(socket.resume(), 'close')
    await closed
    expect(asked).toBeLessThan(2000)
  })
})

describe('closing', () => {
  it('lets what is under way end, and ends idle connections', async () => {
    let answer: (() => void) | undefined
    const port = await listen({
      onRequest: (_, response) => void (answer = () => (response as ServerResponse).end('done')),
    })
    const idle = connect(port, '127.0.0.1')
    await once(idle, 'connect')
    const pending = new Promise<IncomingMessage>((resolve) => get({ port, host: '127.0.0.1' }, resolve))
    await expect.poll(() => answer).toBeDefined()
    const closed = listener!.close(5000)
    idle.destroy()
    answer?.()
    expect(await textOf(await pending)).toBe('done')
    const start = performance.now()
    await closed
    expect(performance.now() - start).toBeLessThan(1000)
  })

  it('breaks what takes longer than the grace', async () => {
    let isAsked = false
    const port = await listen({ onRequest: () => void (isAsked = true) })
    const pending = ask(port)
    pending.catch(() => {})
    await expect.poll(() => isAsked).toBe(true)
    await listener!.close(100)
    await expect(pending).rejects.toMatchObject({ code: 'ECONNRESET' })
  })
})
