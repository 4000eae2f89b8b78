import { readFileSync } from 'node:fs'
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect as connectTls } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { guest, server } from './guest.ts'

const sandbox = guest()
const ca = () => readFileSync(server.env.NODE_EXTRA_CA_CERTS!)
const rss = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))![1]) / 1024
/** User and system time, in ms. */
function cpu(): number {
  const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

const open = (): Socket => connect(server.port, '127.0.0.1').on('error', () => {})

/** @returns what was answered, and after how many ms the server ended the connection */
async function untilEnd(socket: Socket): Promise<{ answer: string; ms: number }> {
  const start = performance.now()
  const answer = await text(socket).catch(() => '')
  return { answer, ms: performance.now() - start }
}

const POST =
  'POST /sandboxes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n'

// at the same time, as each of them waits for its deadline
describe.concurrent('a connection without a key', () => {
  test.each([
    ['that sends nothing', '', 0],
    ['whose head does not end', 'GET / HTTP/1.1\r\nHost: x\r\n', 0],
    [
      'whose form never arrives',
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n',
      0,
    ],
    [
      'whose form arrives byte by byte',
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n',
      4_000,
    ],
    ['that is refused before its body has arrived', `${POST}\r\n`, 0],
    ['that is refused and sends its body byte by byte', `${POST}\r\n`, 1_000],
    [
      'that requests an unknown route, with a body',
      'POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n',
      0,
    ],
    [
      'that uploads files with a made-up ticket',
      `PUT /templates/x/files/${'a'.repeat(64)}?ticket=${'b'.repeat(48)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n`,
      0,
    ],
  ])('%s is ended', async (_, head, everyMs) => {
    const socket = open()
    socket.write(head)
    const timer = everyMs > 0 ? setInterval(() => socket.write('x'), everyMs) : undefined
    const { ms } = await untilEnd(socket)
    clearInterval(timer)
    expect(ms).toBeLessThan(25_000)
  })

  test('that is an HTTP/2 session without requests is ended', async () => {
    const session = connectHttp2(`https://127.0.0.1:${server.port}`, { ca: ca(), servername: 'localhost' })
    session.on('error', () => {})
    await new Promise<void>((resolve) => void session.once('close', resolve))
  }, 60_000)
})

test.each([
  ['two hosts', 'GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'],
  ['another host than its target', 'GET http://b/health HTTP/1.1\r\nHost: a\r\n\r\n'],
])('a request with %s is refused', async (_, request) => {
  const socket = open()
  socket.write(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
  expect((await untilEnd(socket)).answer).toMatch(/^HTTP\/1.1 400 [\s\S]*more than one host/)
})

test('an upgrade with a body is answered', async () => {
  const socket = open()
  const host = `8099-${sandbox().sandboxId}.${server.domain}`
  socket.write(
    `POST / HTTP/1.0\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi`,
  )
  const { answer, ms } = await untilEnd(socket)
  expect(answer).toMatch(/^HTTP\/1.1 502 [\s\S]*port is not open/)
  expect(ms).toBeLessThan(5_000)
})

describe('HTTP/2', () => {
  const frame = (type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer => {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head[3] = type
    head[4] = flags
    head.writeUInt32BE(stream, 5)
    return Buffer.concat([head, payload])
  }
  const [DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, WINDOW, CONTINUATION] = [
    0, 1, 2, 3, 4, 6, 8, 9,
  ] as const
  const head = Buffer.from([0x83, 0x87, 0x84, 0x41, 1, 0x78])
  /** Each function makes the next piece of an attack; stream ids count up. */
  const attacks: [string, Buffer, (stream: number) => Buffer][] = [
    [
      'resets',
      Buffer.alloc(0),
      (id) => Buffer.concat([frame(HEADERS, 5, id, head), frame(RESET, 0, id, Buffer.alloc(4))]),
    ],
    ['requests that are not read', Buffer.alloc(0), (id) => frame(HEADERS, 5, id, head)],
    ['pings', Buffer.alloc(0), () => frame(PING, 0, 0, Buffer.alloc(8))],
    ['settings', Buffer.alloc(0), () => frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 255, 255]))],
    ['empty settings', Buffer.alloc(0), () => frame(SETTINGS, 0, 0)],
    [
      'continuations',
      frame(HEADERS, 1, 1, head),
      () => frame(CONTINUATION, 0, 1, Buffer.from([0, 1, 0x61, 1, 0x62])),
    ],
    ['priorities', Buffer.alloc(0), (id) => frame(PRIORITY, 0, id, Buffer.from([0, 0, 0, 0, 1]))],
    ['empty data', frame(HEADERS, 4, 1, head), () => frame(DATA, 0, 1)],
    ['small windows', frame(HEADERS, 4, 1, head), () => frame(WINDOW, 0, 0, Buffer.from([0, 0, 0, 1]))],
  ]

  test.each(attacks)(
    'with a flood of %s leaves the server its memory and time',
    async (_name, start, piece) => {
      const before = rss()
      const cpuBefore = cpu()
      let highest = before
      const sampling = setInterval(() => (highest = Math.max(highest, rss())), 50)
      const socket = connectTls({
        host: '127.0.0.1',
        port: server.port,
        servername: 'localhost',
        ca: ca(),
        ALPNProtocols: ['h2'],
      })
      socket.on('error', () => {})
      await new Promise<void>((resolve) => void socket.once('secureConnect', resolve))
      const began = performance.now()
      let isOver = false
      socket.once('close', () => (isOver = true))
      socket.pause()
      socket.write(
        Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, 0, 0), start]),
      )
      let stream = start.length > 0 ? 3 : 1
      while (!isOver && performance.now() - began < 5_000) {
        const pieces: Buffer[] = []
        for (let i = 0; i < 1_000; i++, stream += 2) pieces.push(piece(stream))
        const block = Buffer.concat(pieces)
        if (!socket.write(block))
          await Promise.race([
            new Promise((resolve) => socket.once('drain', resolve)),
            new Promise((resolve) => socket.once('close', resolve)),
            new Promise((resolve) => setTimeout(resolve, 200)),
          ])
        else await new Promise((resolve) => setImmediate(resolve))
      }
      socket.destroy()
      clearInterval(sampling)
      const cpuMs = cpu() - cpuBefore
      expect(highest - before).toBeLessThan(64)
      expect(cpuMs).toBeLessThan(2_500)
      expect((await fetch(`${server.env.E2B_API_URL}/health`)).status).toBe(204)
    },
  )
})

test('a client that does not read its download does not make the server buffer it', async () => {
  const size = 300 * 2 ** 20
  await sandbox().commands.run(`head -c ${size} /dev/zero > /home/user/large`)
  const url = new URL(await sandbox().downloadUrl('/home/user/large'))
  const before = rss()
  const socket = open()
  socket.pause()
  socket.write(`GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nConnection: close\r\n\r\n`)
  await new Promise((resolve) => setTimeout(resolve, 3_000))
  expect(rss() - before).toBeLessThan(32)
  socket.destroy()
})
