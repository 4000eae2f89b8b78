import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { ServerHttp2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { createServer, type TLSSocket } from 'node:tls'
import { ALL_RANGES } from '@sandlot/protocol/node'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { askHttp2, type InterceptedWorld, interceptedWorld } from '../test-support/intercepted-world.ts'
import { http2Server, newTestAuthority } from '../test-support/tls-servers.ts'
import {
  ErrorCode,
  Flag,
  FrameType,
  frame,
  headersFrames,
  PREFACE,
  resetFrame,
  SETTINGS_ACK,
} from './frames.ts'
import { encodeHeaders, HpackDecoder } from './hpack.ts'

const NAME = 'api.example.com'
const policy = { allowNames: [NAME], denyRanges: [ALL_RANGES], transforms: { [NAME]: { 'x-set': 'yes' } } }
const EMPTY = Buffer.alloc(0)
const SETTINGS = frame(FrameType.SETTINGS, 0, 0, EMPTY)
const OPENING = Buffer.concat([PREFACE, SETTINGS])
const REQUEST = [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', NAME]
const request = (id: number, headers = REQUEST, isEnd = true): Buffer =>
  headersFrames(id, encodeHeaders(headers), isEnd)
const times = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)))

/** A server whose streams are handled by the test. */
async function worldOf(
  onStream: (stream: ServerHttp2Stream, headers: string[]) => void,
): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const server = http2Server(await authority.leafFor(NAME))
  server.on('stream', (stream: ServerHttp2Stream, _headers: object, _flags: number, raw: unknown) => {
    stream.on('error', () => {})
    onStream(stream, raw as string[])
  })
  server.on('sessionError', () => {})
  return interceptedWorld(server, { policy, upstreamCas: [authority.pem] })
}

/** A server that sends bytes when it has got the preface, and then each time that it gets something; reads no more afterwards. */
const rawServer = (answers: Buffer[]): Promise<InterceptedWorld> =>
  tlsServer((socket) => {
    const left = [...answers]
    socket.on('data', () => {
      const next = left.shift()
      if (next && next.length > 0) socket.write(next)
      else if (!next) socket.pause()
      if (left.length === 0 ? next?.length === 0 : left[0]!.length === 0) socket.end()
    })
  })

/** A server whose bytes are up to the test. */
async function tlsServer(onConnection: (socket: TLSSocket) => void): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const leaf = await authority.leafFor(NAME)
  const server = createServer({ ...leaf, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.on('tlsClientError', () => {})
  return interceptedWorld(server, { policy, upstreamCas: [authority.pem] })
}

interface Received {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** Sends bytes as a client, and returns all frames until the connection ends. */
async function exchangeRaw(world: InterceptedWorld, bytes: Buffer): Promise<Received[]> {
  const socket: TLSSocket = await world.connect({ ALPNProtocols: ['h2'] })
  socket.write(bytes)
  return framesOf(await buffer(socket))
}

function framesOf(all: Buffer): Received[] {
  const frames: Received[] = []
  for (let at = 0; at + 9 <= all.length; ) {
    const length = all.readUIntBE(at, 3)
    const stream = all.readUInt32BE(at + 5)
    frames.push({
      ...{ type: all[at + 3]!, flags: all[at + 4]!, stream },
      payload: all.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}

/** Waits until a number does not grow any more. */
async function settled(read: () => number): Promise<void> {
  for (let last = -1; last !== read() || last === 0; ) {
    last = read()
    await setTimeout(300)
  }
}

const codeOf = (frames: Received[]): number | undefined =>
  frames.find(({ type }) => type === FrameType.GOAWAY)?.payload.readUInt32BE(4)

describe('a client that', () => {
  const { PROTOCOL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, ENHANCE_YOUR_CALM } = ErrorCode
  const ping = frame(FrameType.PING, 0, 0, Buffer.alloc(8))
  const headers = (flags: number, payload: Buffer, id = 1) => frame(FrameType.HEADERS, flags, id, payload)
  it.each<[string, Buffer, number]>([
    ['speaks another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), PROTOCOL_ERROR],
    ['does not begin with settings', Buffer.concat([PREFACE, ping]), PROTOCOL_ERROR],
    ['acknowledges what was not sent', times(3, (i) => (i ? SETTINGS_ACK : OPENING)), PROTOCOL_ERROR],
    [
      'sends settings of a wrong size',
      Buffer.concat([OPENING, frame(4, 0, 0, Buffer.alloc(5))]),
      FRAME_SIZE_ERROR,
    ],
    [
      'sends settings without end',
      Buffer.concat([OPENING, frame(4, 0, 0, Buffer.alloc(6_000))]),
      FRAME_SIZE_ERROR,
    ],
    ['pushes', Buffer.concat([OPENING, frame(5, 0, 1, Buffer.alloc(4))]), PROTOCOL_ERROR],
    [
      'sends data to a stream that is none',
      Buffer.concat([OPENING, frame(0, 0, 1, Buffer.alloc(4))]),
      PROTOCOL_ERROR,
    ],
    ['opens a stream of the server', Buffer.concat([OPENING, request(2)]), PROTOCOL_ERROR],
    [
      'sends padding longer than its frame',
      Buffer.concat([OPENING, headers(Flag.PADDED | 5, Buffer.of(9))]),
      PROTOCOL_ERROR,
    ],
    ['interrupts a header block', Buffer.concat([OPENING, headers(1, EMPTY), ping]), PROTOCOL_ERROR],
    ['continues nothing', Buffer.concat([OPENING, frame(9, 4, 1, EMPTY)]), PROTOCOL_ERROR],
    [
      'sends a header block without end',
      Buffer.concat([OPENING, headers(1, EMPTY), times(100, () => frame(9, 0, 1, EMPTY))]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'sends a header block that is too large',
      Buffer.concat([OPENING, headers(1, EMPTY), times(5, () => frame(9, 0, 1, Buffer.alloc(16_000)))]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'announces a frame that is too large',
      Buffer.concat([OPENING, Buffer.from('ffffff01040000000100', 'hex')]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'sends what is no header block',
      Buffer.concat([OPENING, headers(5, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff))]),
      COMPRESSION_ERROR,
    ],
    [
      'sends a small block that stands for large headers',
      Buffer.concat([
        OPENING,
        headers(
          5,
          Buffer.concat([
            encodeHeaders([]),
            Buffer.from('4001617f811f', 'hex'),
            Buffer.alloc(4_000, 97),
            Buffer.alloc(100, 0xbe),
          ]),
        ),
      ]),
      COMPRESSION_ERROR,
    ],
    ...[
      ['sends more than it has announced', [frame(0, 0, 1, Buffer.alloc(6))]],
      ['sends less than it has announced', [frame(0, 1, 1, Buffer.alloc(4))]],
      ['ends with trailers too early', [request(1, ['a', 'b'])]],
    ].map(([title, frames]): [string, Buffer, number] => [
      title as string,
      Buffer.concat([
        OPENING,
        request(1, [...REQUEST, 'content-length', '5'], false),
        ...(frames as Buffer[]),
      ]),
      PROTOCOL_ERROR,
    ]),
    [
      'asks for the time of the way without end',
      Buffer.concat([OPENING, times(1_100, () => ping)]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'changes its settings without end',
      Buffer.concat([OPENING, times(1_100, () => SETTINGS)]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'sends priorities without end',
      Buffer.concat([OPENING, times(1_100, () => frame(2, 0, 1, Buffer.alloc(5)))]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'sends unknown frames without end',
      Buffer.concat([OPENING, times(1_100, () => frame(99, 0, 0, EMPTY))]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'sends empty data without end',
      Buffer.concat([OPENING, request(1, REQUEST, false), times(1_100, () => frame(0, 0, 1, EMPTY))]),
      ENHANCE_YOUR_CALM,
    ],
    [
      'resets streams without end',
      Buffer.concat([
        OPENING,
        times(2_500, (i) => Buffer.concat([request(2 * i + 1), resetFrame(2 * i + 1, 8)])),
      ]),
      ENHANCE_YOUR_CALM,
    ],
  ])('%s is told so, and loses its connection', async (_, bytes, code) => {
    const world = await worldOf((stream) => stream.respond({ ':status': 200 }))
    expect(codeOf(await exchangeRaw(world, bytes))).toBe(code)
    expect(world.logged.join()).not.toContain('could not be served')
  })

  it('loses its connection at its first bytes leaves no timer behind', async () => {
    const made = vi.spyOn(globalThis, 'setInterval')
    const cleared = vi.spyOn(globalThis, 'clearInterval')
    onTestFinished(() => void vi.restoreAllMocks())
    const world = await worldOf(() => {})
    await exchangeRaw(world, Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'))
    expect(made).toHaveBeenCalled()
    for (const { value } of made.mock.results) expect(cleared).toHaveBeenCalledWith(value)
  })

  it('resets a stream that the server resets meanwhile keeps its connection', async () => {
    const world = await worldOf((stream) => stream.close(8))
    const socket = await world.connect({ ALPNProtocols: ['h2'] })
    const reset = resetFrame(1, 8)
    socket.write(Buffer.concat([OPENING, request(1, REQUEST, false), reset.subarray(0, 9)]))
    await world.recordOf(({ reason }) => reason === 'upstream_broken')
    const rest = [reset.subarray(9), resetFrame(1, 8), frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8))]
    socket.write(Buffer.concat(rest))
    expect(codeOf(framesOf(await buffer(socket)))).toBe(ErrorCode.NO_ERROR)
    expect(world.logged.join()).not.toContain('could not be served')
  })

  /** GET, https, / and a name that the second and all later blocks take from the table. */
  const otherHost = ['82878441016f', '828784be'].map((hex) => Buffer.from(hex, 'hex'))
  const misdirected = times(3_000, (i) => headersFrames(2 * i + 1, otherHost[Math.min(i, 1)]!, true))

  it('is refused many requests at once gets all answers', async () => {
    const goAway = frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(8))
    const world = await worldOf(() => {})
    const frames = await exchangeRaw(world, Buffer.concat([OPENING, misdirected, goAway]))
    expect(frames.filter(({ type }) => type === FrameType.HEADERS)).toHaveLength(3_000)
  })

  it('does not take the answers of the proxy is not served further', async () => {
    const world = await rawServer([])
    const socket = await world.connect({ ALPNProtocols: ['h2'] })
    socket.write(Buffer.concat([OPENING, misdirected]))
    await settled(() => world.records.length)
    expect(world.records.length).toBeLessThan(1_500)
  })

  it('sends heads that are large when they are decoded waits for the server', async () => {
    const world = await rawServer([SETTINGS])
    let lookups = 0
    world.context.credentials.secret = async () => `${++lookups}`
    world.setPolicy({ ...policy, transforms: { [NAME]: { 'x-set': `\${e2b.secrets.key}` } } })
    const socket = await world.connect({ ALPNProtocols: ['h2'] })
    const field = Buffer.concat([Buffer.from('4001617fa11e', 'hex'), Buffer.alloc(4_000, 97)])
    const first = Buffer.concat([encodeHeaders(REQUEST), field])
    const next = Buffer.concat([encodeHeaders(REQUEST), Buffer.alloc(15, 0xbe)])
    const requests = times(900, (i) =>
      Buffer.concat([headersFrames(2 * i + 1, i === 0 ? first : next, true), resetFrame(2 * i + 1, 8)]),
    )
    socket.write(Buffer.concat([OPENING, requests]))
    await settled(() => lookups)
    expect(lookups).toBeLessThan(300)
  })

  it.each<[string, string[]]>([
    ['a line break in a value', [...REQUEST, 'x-a', 'b\r\nx-set: no']],
    ['a line break in the path', REQUEST.with(5, '/ HTTP/1.1\r\nHost: other')],
    ['a blank in the path', REQUEST.with(5, '/ HTTP/1.1')],
    ['a line break in the method', REQUEST.with(1, 'GET / HTTP/1.1\r\nA:')],
    ['a null in a value', [...REQUEST, 'x-a', 'b\0c']],
    ['a colon in a name', [...REQUEST, 'x-a: b', 'c']],
    ['an upper-case name', [...REQUEST, 'X-A', 'b']],
    ['a second path', [...REQUEST, ':path', '/other']],
    ['a pseudo-header after others', ['x-a', 'b', ...REQUEST]],
    ['a status', [...REQUEST, ':status', '200']],
    ['a length of a body that does not follow', [...REQUEST, 'content-length', '5']],
    ['two lengths', [...REQUEST, 'content-length', '0', 'content-length', '0']],
    ['a length that is no number', [...REQUEST, 'content-length', '+0']],
    ['a transfer encoding', [...REQUEST, 'transfer-encoding', 'chunked']],
    ['a connection header', [...REQUEST, 'connection', 'x-set']],
    ['no path', REQUEST.slice(0, 4)],
  ])('sends a request with %s finds its stream reset, and nothing is sent on', async (_, headers) => {
    let requests = 0
    const world = await worldOf(() => requests++)
    const bytes = Buffer.concat([OPENING, request(1, headers), frame(9, 4, 1, EMPTY)])
    const reset = (await exchangeRaw(world, bytes)).find(({ type }) => type === FrameType.RST_STREAM)
    expect(reset?.payload.readUInt32BE(0)).toBe(PROTOCOL_ERROR)
    expect(requests).toBe(0)
  })
})

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
        for (; sent < 40; sent++) yield megabyte
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
    expect(sent).toBeLessThan(36)
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
