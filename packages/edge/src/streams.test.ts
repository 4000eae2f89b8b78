import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request, type Server } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { ask, sendRaw } from './test-support/raw-request.ts'
import { echo, newAddress, startEdge, startServer, textOf } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
const MIB = 1024 * 1024
let world: Awaited<ReturnType<typeof startEdge>>
let app: Server & { port: number }
/** Paths of the requests that the app has received. */
const received: string[] = []
/** How the app saw the end of requests that ended early. */
const ended: string[] = []
let session: ClientHttp2Session
/** How much the app has sent of the body of the newest request. */
const given = { bytes: 0 }
/** Makes `/when-told` start to read, and `/headers-first` send its body. */
let read = () => {}
/** More than all buffers on the way can hold. */
const BODY_BYTES = 200 * MIB
/** For tests that move hundreds of megabytes, on a machine that others load. */
const BULK_TIMEOUT_MS = 90_000

/** Expects the flow to stop permanently, long before its end. */
async function expectFlowStopped(flowed: () => number): Promise<void> {
  let before = -1
  // counts samples instead of time: in a busy event loop much time passes between two samples
  for (let same = 0; same < 25; same++) {
    if (flowed() !== before) same = 0
    before = flowed()
    await sleep(20)
  }
  expect(before).toBeGreaterThan(0)
  expect(before).toBeLessThan(BODY_BYTES / 4)
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Client, edge and sandbox are all in this process. */
function memoryInUse(): number {
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

beforeAll(async () => {
  world = await startEdge()
  app = await startServer(ADDRESS, async (req, res) => {
    req.on('error', () => {})
    received.push(req.url ?? '')
    const size = Number(/^\/bytes\/(\d+)/.exec(req.url ?? '')?.[1] ?? 0)
    if (size > 0) {
      const piece = Buffer.alloc(65536, 'x')
      let left = size
      const body = new Readable({
        read() {
          left > 0 ? this.push(piece.subarray(0, left)) : this.push(null)
          left -= piece.length
          given.bytes = size - left
        },
      })
      return void body.pipe(res)
    }
    if (req.url === '/count') {
      let total = 0
      for await (const chunk of req) total += chunk.length
      return void res.end(String(total))
    }
    if (req.url === '/when-told') {
      await new Promise<void>((resolve) => (read = resolve))
      let total = 0
      for await (const chunk of req) total += chunk.length
      return void res.end(String(total))
    }
    if (req.url === '/slow-count') {
      await sleep(300)
      let total = 0
      req.on('data', (chunk) => (total += chunk.length))
      return void req.on('end', () => res.end(String(total)))
    }
    if (req.url === '/mirror') return void req.pipe(res)
    if (req.url === '/hang') {
      res.on('close', () => ended.push('client gone'))
      return void res.writeHead(200).write('begun')
    }
    if (req.url === '/think') {
      res.on('close', () => ended.push('client gone'))
      return void ended.push('thinking')
    }
    if (req.url === '/cut') {
      res.writeHead(200, { 'content-length': 100 })
      return void res.write('part', () => req.socket.destroy())
    }
    if (req.url === '/early') return void res.writeHead(413, { connection: 'close' }).end('too large')
    if (req.url === '/headers-first') {
      res.writeHead(200).flushHeaders()
      read = () => void res.end('late')
      return
    }
    if (req.url === '/many') {
      res.writeHead(200, { 'set-cookie': ['a=1', 'b=2'], trailer: 'x-sum', connection: 'close' })
      res.addTrailers({ 'x-sum': '42' })
      return void res.end('many')
    }
    return void echo(req, res)
  })
  const sockets = new WebSocketServer({ noServer: true })
  app.on('upgrade', (req, socket, head) => {
    if (req.url === '/no') return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
    sockets.handleUpgrade(req, socket, head, (ws) => {
      ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }))
      ws.on('close', (code) => ended.push(`closed ${code}`))
    })
  })
})
beforeEach(() => {
  ended.length = 0
  received.length = 0
  world.directory.add({ sandboxId: 'ilive', address: ADDRESS })
  session = connectHttp2(`https://${host()}:${world.port}`, {
    ca: readFileSync(world.tls.caPath),
    host: '127.0.0.1',
    lookup: (_name, _options, done) =>
      (done as (...args: unknown[]) => void)(null, [{ address: '127.0.0.1', family: 4 }]),
    settings: { initialWindowSize: 4 * MIB },
  })
  session.on('error', () => {})
})
afterEach(() => session.destroy())
afterAll(async () => {
  await world.close()
  app.closeAllConnections()
  app.close()
})

const host = () => `${app.port}-ilive.sandlot.localhost`
const to = (path: string, rest = {}) => ask(world.port, { path, headers: { host: host() }, ...rest })

/** Sends a request and resolves with the head of the answer; the body is not read yet. */
async function begun(path: string, rest = {}) {
  const sent = request({
    host: '127.0.0.1',
    port: world.port,
    agent: false,
    path,
    headers: { host: host() },
    ...rest,
  })
  sent.end()
  const [message] = await once(sent, 'response')
  return { sent, message }
}

async function overHttp2(headers: Record<string, string>, body?: string) {
  const stream = session.request({ ':authority': host(), ...headers })
  stream.end(body)
  const [head] = await once(stream, 'response')
  return { head, stream }
}

describe('streams', () => {
  it('of 100 MB pass completely in both directions without memory growing', {
    timeout: BULK_TIMEOUT_MS,
  }, async () => {
    const { message } = await begun(`/bytes/${100 * MIB}`)
    const before = memoryInUse()
    let grown = 0
    let received = 0
    let pieces = 0
    for await (const chunk of message) {
      received += chunk.length
      if (++pieces % 200 === 0) grown = Math.max(grown, memoryInUse() - before)
    }
    expect(received).toBe(100 * MIB)

    const options = { host: '127.0.0.1', port: world.port, agent: false, headers: { host: host() } }
    const sent = request({ ...options, path: '/count', method: 'POST' })
    const piece = Buffer.alloc(65536)
    const upload = function* () {
      for (let i = 0; i < 1600; i++) {
        if (i % 200 === 0) grown = Math.max(grown, memoryInUse() - before)
        yield piece
      }
    }
    Readable.from(upload()).pipe(sent)
    const [answer] = await once(sent, 'response')
    expect(await textOf(answer)).toBe(String(100 * MIB))
    expect(grown).toBeLessThan(64 * MIB)
  })

  it('of an answer stop when the client stops reading, and continue when the client reads again', {
    timeout: BULK_TIMEOUT_MS,
  }, async () => {
    const { message } = await begun(`/bytes/${BODY_BYTES}`)
    message.pause()
    await expectFlowStopped(() => given.bytes)
    let received = 0
    for await (const chunk of message) received += chunk.length
    expect(received).toBe(BODY_BYTES)
  })

  it.each(['HTTP/1.1', 'HTTP/2'])(
    'of a request over %s stop when the sandbox stops reading',
    { timeout: BULK_TIMEOUT_MS },
    async (version) => {
      const piece = Buffer.alloc(65536)
      let taken = 0
      const source = Readable.from(
        (function* () {
          for (; taken < BODY_BYTES; taken += piece.length) yield piece
        })(),
      )
      const options = { host: '127.0.0.1', port: world.port, agent: false, headers: { host: host() } }
      const upload =
        version === 'HTTP/2'
          ? session.request({ ':authority': host(), ':path': '/when-told', ':method': 'POST' })
          : request({ ...options, path: '/when-told', method: 'POST' })
      source.pipe(upload)
      await expectFlowStopped(() => taken)
      read()
      const [answer] = await once(upload, 'response')
      expect(await textOf(version === 'HTTP/2' ? (upload as ClientHttp2Stream) : answer)).toBe(
        String(BODY_BYTES),
      )
    },
  )

  it('are forwarded piece by piece without delay in both directions', async () => {
    const sent = request({
      host: '127.0.0.1',
      port: world.port,
      agent: false,
      path: '/mirror',
      method: 'POST',
      headers: { host: host() },
    })
    sent.flushHeaders()
    sent.write('one')
    const [message] = await once(sent, 'response')
    expect(String((await once(message, 'data'))[0])).toBe('one')
    sent.write('two')
    expect(String((await once(message, 'data'))[0])).toBe('two')
    sent.end()
    await once(message, 'end')
  })

  it('have their head sent before the first byte of the body', async () => {
    const { message } = await begun('/headers-first')
    read()
    expect(await textOf(message)).toBe('late')
  })
})

describe('an abort', () => {
  it('of the client reaches the sandbox', async () => {
    const { sent, message } = await begun('/hang')
    message.on('error', () => {})
    sent.destroy()
    await expect.poll(() => ended).toEqual(['client gone'])
    const { stream } = await overHttp2({ ':path': '/hang' })
    stream.close(8)
    await expect.poll(() => ended).toEqual(['client gone', 'client gone'])
  })

  it('of the whole connection reaches the sandbox before it has answered anything', async () => {
    const waiting = request({
      host: '127.0.0.1',
      port: world.port,
      agent: false,
      path: '/think',
      headers: { host: host() },
    })
    waiting.on('error', () => {})
    waiting.end()
    await expect.poll(() => ended).toEqual(['thinking'])
    waiting.destroy()
    await expect.poll(() => ended).toEqual(['thinking', 'client gone'])

    ended.length = 0
    const stream = session.request({ ':authority': host(), ':path': '/think' })
    stream.on('error', () => {})
    stream.end()
    await expect.poll(() => ended).toEqual(['thinking'])
    session.socket.destroy()
    await expect.poll(() => ended).toEqual(['thinking', 'client gone'])
  })

  it('of the sandbox breaks the answer', async () => {
    await expect(to('/cut')).rejects.toMatchObject({ code: 'ECONNRESET' })
    const { stream } = await overHttp2({ ':path': '/cut' })
    await expect(textOf(stream)).rejects.toThrow()
  })
})

describe('a sandbox that is killed', () => {
  it('breaks its HTTP/1.1 streams, also those that are delimited by the end of the connection', async () => {
    const { message } = await begun('/hang')
    const old = sendRaw(world.port, `GET /hang HTTP/1.0\r\nHost: ${host()}\r\n\r\n`)
    old.catch(() => {})
    await expect.poll(() => received).toEqual(['/hang', '/hang'])
    world.directory.kill('ilive')
    await expect(textOf(message)).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(old).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect.poll(() => ended).toEqual(['client gone', 'client gone'])
    expect((await to('/')).body).toContain('The sandbox was not found')
  })

  it('resets its HTTP/2 streams that have begun, answers the others, and leaves the session open', async () => {
    world.directory.add({ sandboxId: 'iother', address: ADDRESS })
    const { stream } = await overHttp2({ ':path': '/hang' })
    await once(stream, 'data')
    const pending = session.request({ ':authority': host(), ':path': '/slow-count', ':method': 'POST' })
    await expect.poll(() => received).toContain('/slow-count')
    world.directory.kill('ilive')
    await Promise.all([
      expect(textOf(stream)).rejects.toThrow(),
      expect(once(pending, 'response').then(([head]) => head[':status'])).resolves.toBe(502),
    ])
    expect(stream.rstCode).not.toBe(0)
    await expect.poll(() => ended).toEqual(['client gone'])
    const other = await overHttp2({ ':path': '/', ':authority': host().replace('ilive', 'iother') })
    expect(other.head[':status']).toBe(200)
    expect(JSON.parse(await textOf(other.stream)).url).toBe('/')
    world.directory.kill('iother')
  })

  it('breaks its WebSockets', async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${world.port}/ws`, { headers: { host: host() } })
    await once(ws, 'open')
    world.directory.kill('ilive')
    const [code] = await once(ws, 'close')
    expect(code).toBe(1006)
    await expect.poll(() => ended).toEqual(['closed 1006'])
  })

  it('frees its kept-alive connections, so that another sandbox can get its address', async () => {
    await to('/')
    world.directory.kill('ilive')
    await expect
      .poll(() => new Promise((resolve) => app.getConnections((_, count) => resolve(count))))
      .toBe(0)
  })
})

describe('HTTP/2', () => {
  it('becomes HTTP/1.1 with joined cookies and a host', async () => {
    const stream = session.request({
      ':authority': host(),
      ':path': '/x?y',
      ':method': 'POST',
      cookie: ['a=1', 'b=2'],
      te: 'trailers',
    })
    stream.end('data')
    const seen = JSON.parse(await textOf(stream))
    expect(seen).toMatchObject({ method: 'POST', url: '/x?y', body: 'data' })
    expect(seen.headers).toMatchObject({
      host: host(),
      cookie: 'a=1; b=2',
      te: 'trailers',
      'x-forwarded-proto': 'https',
    })
    expect(JSON.stringify(seen.rawHeaders)).not.toContain('":')
  })

  it('keeps cookies of the answer apart, drops connection headers and passes trailers', async () => {
    const { head, stream } = await overHttp2({ ':path': '/many' })
    const trailers = once(stream, 'trailers')
    expect(head['set-cookie']).toEqual(['a=1', 'b=2'])
    expect(head).not.toHaveProperty('connection')
    expect(await textOf(stream)).toBe('many')
    expect((await trailers)[0]).toMatchObject({ 'x-sum': '42' })
  })

  it('answers HEAD and refusals', async () => {
    const head = await overHttp2({ ':path': '/', ':method': 'HEAD' })
    expect(head.head[':status']).toBe(200)
    expect(await textOf(head.stream)).toBe('')
    const refused = await overHttp2({ ':path': '/', ':authority': '80-igone.sandlot.localhost' })
    expect(refused.head[':status']).toBe(502)
    expect(await textOf(refused.stream)).toBe(
      '{"sandboxId":"igone","message":"The sandbox was not found","code":502}',
    )
  })

  it.each([
    ['path', { ':path': '/\xe9' }],
    ['path with a space', { ':path': '/a b' }],
    ['method', { ':path': '/', ':method': 'B@D' }],
    ['header', { ':path': '/', 'x-odd': 'a\xe9\xff' }],
  ])('with a %s that HTTP/1.1 cannot carry does not affect other requests', async (_, headers) => {
    const outcome = overHttp2(headers as Record<string, string>).then(
      async ({ head, stream }) => [head[':status'], await textOf(stream)],
      (error: Error) => [error.message],
    )
    expect([200, 400, 'Stream closed with error code NGHTTP2_PROTOCOL_ERROR']).toContain((await outcome)[0])
    expect((await to('/')).status).toBe(200)
  })

  it('carries 100 concurrent requests', async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, i) => textOf((await overHttp2({ ':path': `/${i}` })).stream)),
    )
    expect(answers.map((text) => JSON.parse(text).url)).toEqual(answers.map((_, i) => `/${i}`))
  })
})

it('an answer that arrives before the upload is complete reaches the client', async () => {
  const upload = session.request({ ':authority': host(), ':path': '/early', ':method': 'POST' })
  upload.on('error', () => {})
  const [head] = await once(upload, 'response')
  expect(head[':status']).toBe(413)
  expect(await textOf(upload)).toBe('too large')
})

describe('upgrades', () => {
  it.each(['ws', 'wss'])('to WebSocket pass over %s', async (scheme) => {
    const url = `${scheme}://127.0.0.1:${world.port}/chat`
    const ws = new WebSocket(url, {
      headers: { host: host() },
      ca: readFileSync(world.tls.caPath),
      servername: host(),
    } as object)
    await once(ws, 'open')
    ws.send('hello')
    expect(String((await once(ws, 'message'))[0])).toBe('hello')
    ws.send(Buffer.alloc(3 * MIB))
    expect((await once(ws, 'message'))[0]).toHaveLength(3 * MIB)
    ws.close(4001)
    await once(ws, 'close')
    await expect.poll(() => ended).toEqual(['closed 4001'])
  })

  it('are answered when the sandbox or the edge refuses them', async () => {
    const upgrade = `Host: ${host()}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`
    expect(await sendRaw(world.port, `GET /no HTTP/1.1\r\n${upgrade}`)).toMatch(
      /^HTTP\/1.1 403 [\s\S]*\r\n\r\nno$/,
    )
    const gone = upgrade.replace('ilive', 'igone')
    expect(await sendRaw(world.port, `GET / HTTP/1.1\r\n${gone}`)).toMatch(
      /^HTTP\/1.1 502 [\s\S]*The sandbox was not found/,
    )
    const closed = upgrade.replace(String(app.port), '4')
    expect(await sendRaw(world.port, `GET / HTTP/1.1\r\n${closed}`)).toMatch(
      /^HTTP\/1.1 502 [\s\S]*port is not open/,
    )
  })

  it('to h2c are not accepted', async () => {
    const offer =
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n'
    const rest = `Host: ${host()}\r\nContent-Length: 2\r\n\r\nhi`
    const answer = await Promise.race([
      sendRaw(world.port, `POST / HTTP/1.0\r\n${offer}${rest}`),
      sleep(3000),
    ])
    expect(answer).toContain('"body":"hi"')
    expect(answer).not.toContain('h2c')
  })
})
