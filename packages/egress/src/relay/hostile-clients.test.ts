import { buffer } from 'node:stream/consumers'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import {
  codeOf,
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
  worldOf,
} from '../test-support/relay-world.ts'
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
import { encodeHeaders } from './hpack.ts'

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
