import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { createServer, type Server, type Socket } from 'node:net'
import { ENVD_PORT } from '@sandlot/protocol'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ask, sendRaw } from './test-support/raw-request.ts'
import { newAddress, startEdge, textOf } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
const CLOSED_PORT = 4
let world: Awaited<ReturnType<typeof startEdge>>
let app: Server
let envd: Server
let port = 0
let session: ClientHttp2Session
/** Sends the sandbox's answer to a head; the sent bytes are counted. */
let answer: (socket: Socket) => void = () => {}
const sent = { bytes: 0 }

/** Sends `start`, and then `piece` without end. */
const begins = (start: string, piece: string) => (socket: Socket) => {
  socket.write(start)
  flood(socket, piece)
}
const SWITCHING = 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'

/** A server that sends whatever bytes the test wants, not HTTP. */
async function startMouth(onPort: number): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('close', () => (sent.bytes += socket.bytesWritten))
    socket.once('data', () => answer(socket))
  })
  server.listen(onPort, ADDRESS)
  await once(server, 'listening')
  return server
}

/** Sends the same piece repeatedly, as fast as the other side reads it. */
function flood(socket: Socket, piece: string | Buffer): void {
  const block = Buffer.concat(Array.from({ length: 500 }, () => Buffer.from(piece)))
  const more = () => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', more)
  more()
}

beforeAll(async () => {
  world = await startEdge()
  app = await startMouth(0)
  envd = await startMouth(ENVD_PORT)
  port = (app.address() as { port: number }).port
  world.directory.add({ sandboxId: 'ibad', address: ADDRESS })
})
beforeEach(() => {
  sent.bytes = 0
  session = connectHttp2(`https://127.0.0.1:${world.port}`, {
    ca: readFileSync(world.tls.caPath),
    servername: host(),
  })
  session.on('error', () => {})
})
afterEach(() => session.destroy())
afterAll(async () => {
  await world.close()
  app.close()
  envd.close()
})

const host = () => `${port}-ibad.sandlot.localhost`
const overHttp1 = () =>
  sendRaw(world.port, `GET / HTTP/1.1\r\nHost: ${host()}\r\nTE: trailers\r\nConnection: close\r\n\r\n`)

async function overHttp2(): Promise<{ body: string; trailers: object }> {
  const stream = session.request({ ':authority': host(), te: 'trailers' })
  let trailers = {}
  stream.once('trailers', (received) => (trailers = received))
  return { body: await textOf(stream), trailers }
}

describe('trailers of a sandbox', () => {
  const head = 'HTTP/1.1 200 OK\r\nTrailer: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n'

  it.each([
    ['of the connection', 'connection: close'],
    ['of the framing', 'transfer-encoding: chunked'],
    ['for another protocol', 'upgrade: h2c'],
    ['for the next hop', 'keep-alive: timeout=1'],
  ])('%s are dropped, and the server keeps running', async (_, trailer) => {
    answer = (socket) => socket.end(`${head}${trailer}\r\nx-sum: 42\r\n\r\n`)
    const plain = await overHttp1()
    expect(plain).toContain('x-sum: 42')
    expect(plain.split('\r\n0\r\n')[1]).not.toContain(trailer)
    expect(await overHttp2()).toMatchObject({ body: 'hi', trailers: { 'x-sum': '42' } })
  })

  it.each([
    ['named like a property of objects', 'constructor: x'],
    ['called __proto__', '__proto__: x'],
    ['with letters of Latin-1', 'x: \xff\xe9'],
    ['given twice', 'x: 1\r\nx: 2'],
  ])('%s are forwarded', async (_, trailer) => {
    answer = (socket) => socket.end(Buffer.from(`${head}${trailer}\r\n\r\n`, 'latin1'))
    expect(await overHttp1()).toContain(trailer.split(':')[0])
    expect((await overHttp2()).body).toBe('hi')
  })

  it.each([
    ['whose name is not a token', 'a b: c'],
    ['that are a pseudo-header', ':status: 200'],
    ['beyond 64 KiB', `x: ${'y'.repeat(70_000)}`],
    ['beyond any count', Array.from({ length: 3_000 }, (_, i) => `x${i}: y`).join('\r\n')],
  ])('%s do not affect other requests', async (_, trailer) => {
    answer = (socket) => socket.end(`${head}${trailer}\r\n\r\n`)
    await overHttp1().catch(() => {})
    await overHttp2().catch(() => {})
    expect((await ask(world.port, { headers: { host: 'localhost' } })).body).toBe('the API')
  })
})

describe('an answer of a sandbox', () => {
  it.each([
    ['that is one interim answer after the other', begins('', 'HTTP/1.1 103 Early\r\n\r\n')],
    ['that continues without end', begins('', 'HTTP/1.1 100 Continue\r\n\r\n')],
    ['whose headers never end', begins('HTTP/1.1 200 OK\r\n', 'a: b\r\n')],
    ['with one header that never ends', begins('HTTP/1.1 200 OK\r\na: ', 'b')],
    ['that changes the protocol unasked', begins(SWITCHING, 'x')],
    ['that is not HTTP', begins('', '\0\xff')],
  ])('%s is a bad gateway at once', async (_, mouth) => {
    answer = mouth
    const start = performance.now()
    expect(await overHttp1()).toMatch(/^HTTP\/1.1 502 [\s\S]*without a valid answer/)
    expect(performance.now() - start).toBeLessThan(2_000)
    await expect.poll(() => sent.bytes).toBeGreaterThan(0)
    expect(sent.bytes).toBeLessThan(16 * 2 ** 20)
  })

  it.each([
    ['a control character', '\x01'],
    ['a NUL', '\0'],
    ['a DEL', '\x7f'],
  ])('with %s in its reason is a bad gateway, and the server keeps running', async (_, reason) => {
    answer = (socket) => socket.end(`HTTP/1.1 200 ${reason}\r\n\r\n`)
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket'
    const overUpgrade = () => sendRaw(world.port, `GET / HTTP/1.1\r\nHost: ${host()}\r\n${upgrade}\r\n\r\n`)
    for (const ask of [overHttp1, overUpgrade]) expect(await ask()).toMatch(/^HTTP\/1.1 502 Bad Gateway\r\n/)
    expect((await overHttp2()).body).toBe('')
  })

  it('to an upgrade that is one interim answer after the other is a bad gateway', async () => {
    answer = (socket) => flood(socket, 'HTTP/1.1 103 Early\r\n\r\n')
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket'
    expect(await sendRaw(world.port, `GET / HTTP/1.1\r\nHost: ${host()}\r\n${upgrade}\r\n\r\n`)).toMatch(
      /^HTTP\/1.1 502 /,
    )
  })
})

describe('an envd that is asked to forward a port', () => {
  it.each([
    ['and sends without end', begins('HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n', 'x')],
    ['and continues without end', begins('', 'HTTP/1.1 100 Continue\r\n\r\n')],
    ['and changes the protocol', begins(SWITCHING, 'x')],
    ['and says nothing', () => {}],
  ])('%s is not listened to', async (_, mouth) => {
    answer = mouth
    const closed = `${CLOSED_PORT}-ibad.sandlot.localhost`
    const start = performance.now()
    expect((await ask(world.port, { headers: { host: closed } })).body).toContain('port is not open')
    expect(performance.now() - start).toBeLessThan(2_500)
    expect(sent.bytes).toBeLessThan(16 * 2 ** 20)
  })
})
