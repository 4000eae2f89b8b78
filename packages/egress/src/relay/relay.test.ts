import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { askHttp2, interceptedWorld } from '../test-support/intercepted-world.ts'
import {
  EMPTY,
  exchangeRaw,
  framesOf,
  NAME,
  OPENING,
  policy,
  REQUEST,
  rawServer,
  request,
  SETTINGS,
  settled,
  times,
  tlsServer,
  worldOf,
} from '../test-support/relay-world.ts'
import { http2Server, newTestAuthority } from '../test-support/tls-servers.ts'
import { Flag, FrameType, frame, headersFrames, PREFACE, resetFrame } from './frames.ts'
import { encodeHeaders, HpackDecoder } from './hpack.ts'

describe('a server that', () => {
  const ok = headersFrames(1, encodeHeaders([':status', '200']), false)
  const goAway = frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8))
  it.each<[string, Buffer[]]>([
    ['speaks another protocol', [Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')]],
    ['sends nothing and leaves', [EMPTY]],
    ['leaves after its settings', [SETTINGS, EMPTY]],
    [
      'answers a stream that was not opened',
      [Buffer.concat([SETTINGS, headersFrames(3, encodeHeaders([':status', '200']), true)])],
    ],
    ['sends data before its answer', [SETTINGS, frame(0, 1, 1, Buffer.alloc(5))]],
    ['answers without a status', [SETTINGS, headersFrames(1, encodeHeaders(['a', 'b']), true)]],
    [
      'answers with a status that is none',
      [SETTINGS, headersFrames(1, encodeHeaders([':status', '20x']), true)],
    ],
    [
      'sends interim answers without end',
      [SETTINGS, times(30, () => headersFrames(1, encodeHeaders([':status', '103']), false))],
    ],
    ['pushes', [SETTINGS, frame(5, 4, 1, Buffer.of(0, 0, 0, 2))]],
    ['sends no header block', [SETTINGS, frame(1, 4, 1, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff))]],
    ['interrupts its header block', [SETTINGS, Buffer.concat([frame(1, 0, 1, EMPTY), ok])]],
    [
      'sends a head without end',
      [
        SETTINGS,
        Buffer.concat([frame(1, 0, 1, EMPTY), times(9, () => frame(9, 0, 1, Buffer.alloc(16_000)))]),
      ],
    ],
    ['sends pings without end', [SETTINGS, times(1_100, () => frame(6, 0, 0, Buffer.alloc(8)))]],
    [
      'breaks off amid its answer',
      [SETTINGS, Buffer.concat([ok, Buffer.from('000100000000000001aa', 'hex')]), EMPTY],
    ],
    ['says farewell without an answer', [SETTINGS, goAway, EMPTY]],
  ])('%s does not harm the proxy, and the request is recorded', async (_, answers) => {
    const world = await rawServer(answers)
    const session = await world.session()
    const closed = new Promise<Error>((resolve) => session.once('close', () => resolve(new Error('closed'))))
    const asked = askHttp2(session, { ':path': '/' }).catch((error: Error) => error)
    const answer = await Promise.race([asked, closed])
    if (!(answer instanceof Error)) expect(answer.headers[':status']).toBe(502)
    const record = await world.recordOf(({ http }) => http?.path === '/')
    expect(record).toMatchObject({ verdict: 'failed', reason: 'upstream_broken' })
    expect(world.logged.join()).not.toContain('could not be served')
    await closed
  })
})

describe('the relay', () => {
  it('does not read what nobody wants while it cannot give back its window', async () => {
    const megabyte = times(64, () => frame(FrameType.DATA, 0, 3, Buffer.alloc(16_384)))
    let sent = 0
    const world = await tlsServer((socket) => {
      const flood = function* () {
        for (; sent < 200; sent++) yield megabyte
      }
      socket.write(SETTINGS)
      // the second piece that arrives holds the reset of the stream, or follows it
      socket.once('data', () => socket.once('data', () => Readable.from(flood()).pipe(socket)))
      socket.resume()
    })
    const socket = await world.connect({ ALPNProtocols: ['h2'] })
    const begun = [request(1, REQUEST, false), request(3, REQUEST, false), resetFrame(3, 8)]
    socket.write(Buffer.concat([OPENING, ...begun]))
    await world.recordOf(({ reason }) => reason === 'client_aborted')
    socket.write(frame(FrameType.DATA, 0, 1, Buffer.alloc(1_000)).subarray(0, 100))
    await settled(() => sent)
    // the buffers of the kernel take up to 36 MB
    expect(sent).toBeLessThan(100)
  })

  it('passes bodies unchanged beside requests that it answers itself', async () => {
    const world = await worldOf((stream) => {
      stream.respond({ ':status': 200 })
      stream.pipe(stream)
    })
    const session = await world.session()
    const post = async (body: Buffer, authority = NAME) => {
      const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': authority })
      stream.on('error', () => {})
      const head = once(stream, 'response')
      stream.end(body)
      const [[headers], answer] = await Promise.all([head, buffer(stream)])
      return { status: headers[':status'], answer }
    }
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
    const bodies = Array.from({ length: 20 }, (_, i) => randomBytes(1 + i * 10_000))
    await Promise.all([
      ...bodies.map(async (body) => {
        const { status, answer } = await post(body)
        expect(status).toBe(200)
        expect(digest(answer)).toBe(digest(body))
      }),
      // what is sent to these must come back to the window of the connection
      ...bodies.map(async (body) => expect((await post(body, 'other.example.com')).status).toBe(421)),
    ])
    const bytes = bodies.reduce((sum, { length }) => sum + length, 0)
    const allowed = world.records.filter(({ verdict }) => verdict === 'allowed')
    expect(allowed.reduce((sum, { bytesIn }) => sum + bytesIn, 0)).toBe(bytes)
    expect(allowed.reduce((sum, { bytesOut }) => sum + bytesOut, 0)).toBe(bytes)
    expect(world.records.filter(({ verdict }) => verdict === 'denied')).toHaveLength(bodies.length)
    expect(world.targets).toHaveLength(1)
  })

  it('sends nothing to the client before settings that come in pieces', async () => {
    const settings = frame(FrameType.SETTINGS, 0, 0, Buffer.from('000300000064', 'hex'))
    const server = await rawServer([settings.subarray(0, 12), EMPTY])
    const other = request(1, REQUEST.with(7, 'other.example.com'))
    const frames = await exchangeRaw(server, Buffer.concat([OPENING, other]))
    expect(frames.map(({ type }) => type)).toEqual([
      ...[FrameType.SETTINGS, FrameType.HEADERS, FrameType.DATA, FrameType.GOAWAY],
    ])
  })

  it('passes what came before a frame that breaks the protocol', async () => {
    const data = frame(FrameType.DATA, 0, 1, Buffer.alloc(100))
    const head = headersFrames(1, encodeHeaders([':status', '200']), false)
    const bad = frame(FrameType.PING, 0, 0, EMPTY)
    const server = await rawServer([
      SETTINGS,
      Buffer.concat([head, data.subarray(0, 50)]),
      Buffer.concat([data.subarray(50), bad]),
    ])
    const socket = await server.connect({ ALPNProtocols: ['h2'] })
    socket.write(Buffer.concat([OPENING, request(1)]))
    const received: Buffer[] = []
    socket.on('data', (bytes: Buffer) => {
      received.push(bytes)
      // the server sends its next piece
      socket.write(frame(FrameType.PING, 0, 0, Buffer.alloc(8)))
    })
    await once(socket, 'close')
    const frames = framesOf(Buffer.concat(received))
    expect(frames.map(({ type }) => type).slice(1)).toEqual([
      ...[FrameType.HEADERS, FrameType.DATA, FrameType.RST_STREAM, FrameType.GOAWAY],
    ])
  })

  it('refuses TRACE, whose answer would show the headers of the rule', async () => {
    let requests = 0
    const world = await worldOf(() => requests++)
    const answer = await askHttp2(await world.session(), { ':method': 'TRACE', ':path': '/' })
    expect(answer.headers[':status']).toBe(405)
    expect(requests).toBe(0)
    await world.recordOf(({ reason, verdict }) => reason === 'trace_refused' && verdict === 'denied')
  })

  it('announces no body to a client whose window has no room for it', async () => {
    const world = await worldOf(() => {})
    const noWindow = frame(FrameType.SETTINGS, 0, 0, Buffer.from('000400000000', 'hex'))
    const other = request(1, REQUEST.with(7, 'other.example.com'))
    const bytes = Buffer.concat([PREFACE, noWindow, other, frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8))])
    const head = (await exchangeRaw(world, bytes)).find(({ type }) => type === FrameType.HEADERS)
    expect(head?.flags).toBe(Flag.END_STREAM | Flag.END_HEADERS)
    expect(new HpackDecoder().decode(head!.payload)).toEqual([':status', '421'])
  })

  it('moves a request for which the policy has changed the way to another connection', async () => {
    const world = await worldOf((stream) => stream.respond({ ':status': 200 }, { endStream: true }))
    const session = await world.session()
    expect((await askHttp2(session, { ':path': '/' })).headers[':status']).toBe(200)
    world.setPolicy({ transforms: policy.transforms })
    const closed = once(session, 'close')
    await expect(askHttp2(session, { ':path': '/' })).rejects.toThrow('REFUSED_STREAM')
    await closed
    expect((await askHttp2(await world.session(), { ':path': '/' })).headers[':status']).toBe(200)
    expect(world.targets.map(({ name }) => name)).toEqual([NAME, undefined])
  })

  it('records a request whose client goes while a secret is looked up', async () => {
    const world = await worldOf(() => {})
    const asked = Promise.withResolvers<void>()
    const found = Promise.withResolvers<string>()
    world.context.credentials.secret = () => {
      asked.resolve()
      return found.promise
    }
    world.setPolicy({ ...policy, transforms: { [NAME]: { 'x-set': `\${e2b.secrets.key}` } } })
    const session = await world.session()
    session.request({ ':path': '/' }).on('error', () => {})
    await asked.promise
    session.destroy()
    found.resolve('value')
    await world.recordOf(({ reason }) => reason === 'client_aborted')
  })

  it('ends a request to a server that is silent', async () => {
    const authority = await newTestAuthority()
    const server = http2Server(await authority.leafFor(NAME))
    server.on('stream', (stream, { ':path': path }) => {
      stream.on('error', () => {})
      if (path === '/begun') stream.respond({ ':status': 200 })
    })
    const options = { policy, upstreamCas: [authority.pem], idleTimeoutMs: 200 }
    const session = await (await interceptedWorld(server, options)).session()
    expect((await askHttp2(session, { ':path': '/' })).headers[':status']).toBe(504)
    await expect(askHttp2(session, { ':path': '/begun' })).rejects.toThrow('INTERNAL_ERROR')
  })
})
