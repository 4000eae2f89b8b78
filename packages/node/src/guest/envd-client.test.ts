import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { SandlotError } from '@sandlot/protocol'
import { afterEach, describe, expect, it } from 'vitest'
import { toFrame } from './connect-frames.ts'
import { GuestClient } from './guest-client.ts'
import { runInGuest, uploadToGuest } from './guest-process.ts'

const MIB = 2 ** 20
/** Longest time for a call: calls have deadlines, and an answer that exceeds a limit ends its call at once. */
const DEADLINE_MS = 3_000
/** Growth of this process that is accepted; it includes most fake envds and what they have sent. */
const MAX_GROWTH_BYTES = 96 * MIB

let envd: Server | undefined
const sockets = new Set<Socket>()

/** Listens in place of envd, and calls `mouth` for each connection. */
async function listen(mouth: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => mouth(socket))
  })
  envd = server
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as { port: number }).port
}

afterEach(() => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  envd?.close()
})

/** Sends `start`, and then `piece` repeatedly, as fast as the other side reads. */
const flood = (start: string | Buffer, piece: string | Buffer) => (socket: Socket) => {
  socket.write(start)
  const block = Buffer.concat(
    Array.from({ length: Math.ceil(65536 / piece.length) }, () => Buffer.from(piece)),
  )
  const more = () => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', more)
  more()
}

/** Like `flood`, in a separate process, so that only the cost of the receiver is measured. */
async function floodFromOutside(start: string, piece: Buffer): Promise<{ port: number; end: () => void }> {
  const program = `
    const [start, piece] = process.argv.slice(1).map((text) => Buffer.from(text, 'base64'))
    const block = Buffer.concat(Array.from({ length: Math.ceil(65536 / piece.length) }, () => piece))
    const server = require('node:net').createServer((socket) => {
      const more = () => { while (!socket.destroyed && socket.write(block)); }
      socket.on('error', () => {}).on('drain', more)
      socket.once('data', () => { socket.write(start); more() })
    })
    server.listen(0, '127.0.0.1', () => console.log(server.address().port))`
  const inputs = [Buffer.from(start), piece].map((bytes) => bytes.toString('base64'))
  const child = spawn(process.execPath, ['-e', program, ...inputs], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [port] = await once(child.stdout, 'data')
  return { port: Number(String(port)), end: () => child.kill('SIGKILL') }
}

/** One byte every 20 ms. */
const drip = (text: string) => (socket: Socket) => {
  let at = 0
  const timer = setInterval(() => socket.write(text[at++ % text.length]!), 20)
  socket.once('close', () => clearInterval(timer))
}

const saying = (text: string | Buffer) => (socket: Socket) => void socket.write(text)

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Content-Type: application/connect+json\r\nTransfer-Encoding: chunked\r\n\r\n`
const LONG = `${OK}Content-Length: 9999999999\r\n\r\n`
const SWITCHING = 'HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'
const chunk = (bytes: Buffer) =>
  Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')])
const streamOf = (...frames: Buffer[]) => saying(Buffer.concat([Buffer.from(CHUNKED), ...frames.map(chunk)]))
const raw = (text: string, flags = 0) => {
  const envelope = Buffer.alloc(5)
  envelope[0] = flags
  envelope.writeUInt32BE(text.length, 1)
  return Buffer.concat([envelope, Buffer.from(text)])
}
const envelopeOf = (sizeBytes: number) => {
  const envelope = Buffer.alloc(5)
  envelope.writeUInt32BE(sizeBytes, 1)
  return envelope
}

const ANY_CALL: [string, (socket: Socket) => void][] = [
  ['without end', flood(LONG, 'x')],
  ['without end, in chunks of one byte', flood(CHUNKED, '1\r\nx\r\n')],
  ['with headers that never end', flood(OK, 'a: b\r\n')],
  ['with one header that never ends', flood(`${OK}a: `, 'b')],
  ['with trailers that never end', flood(`${CHUNKED}0\r\n`, 'a: b\r\n')],
  ['with one interim answer after the other', flood('', 'HTTP/1.1 103 Early\r\n\r\n')],
  ['that it continues, without end', flood('', 'HTTP/1.1 100 Continue\r\n\r\n')],
  ['with another protocol', flood(SWITCHING, 'x')],
  ['with garbage', flood('', '\0\xff\x01')],
  ['with half a head', (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-')],
  ['with half a body', (socket) => void socket.end(`${OK}Content-Length: 100\r\n\r\nhalf`)],
  [
    'with a body that was compressed',
    flood(
      `${OK}Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n`,
      chunk(gzipSync(Buffer.alloc(MIB))),
    ),
  ],
  ['with its end', (socket) => void socket.destroy()],
]

/** @returns how the call failed, and by how much the process grew meanwhile */
async function attempt(
  call: () => Promise<unknown>,
): Promise<{ error: unknown; grown: number; tookMs: number }> {
  const start = performance.now()
  const before = process.memoryUsage().rss
  let highest = before
  const timer = setInterval(() => (highest = Math.max(highest, process.memoryUsage().rss)), 20)
  try {
    const error = await call().then(
      (value) => new Error(`it came to an end: ${value}`),
      (error: unknown) => error,
    )
    return { error, grown: highest - before, tookMs: performance.now() - start }
  } finally {
    clearInterval(timer)
  }
}

function expectContained({ error, grown, tookMs }: Awaited<ReturnType<typeof attempt>>): void {
  expect(error).toBeInstanceOf(SandlotError)
  expect((error as Error).message.length).toBeLessThan(1_000)
  expect(tookMs).toBeLessThan(DEADLINE_MS)
  expect(grown).toBeLessThan(MAX_GROWTH_BYTES)
}

const command = { command: 'true', user: 'root' }
const soon = () => AbortSignal.timeout(10_000)

describe('an envd that answers', () => {
  it.each(ANY_CALL)('%s fails a POST', async (_, mouth) => {
    const client = new GuestClient('127.0.0.1', await listen(mouth))
    expectContained(await attempt(() => client.post('/init', {})))
    client.close()
  })

  it.each(ANY_CALL)('%s is not healthy', async (_, mouth) => {
    const client = new GuestClient('127.0.0.1', await listen(mouth))
    const start = performance.now()
    expect(await client.isHealthy()).toBe(false)
    expect(performance.now() - start).toBeLessThan(1_500)
    client.close()
  })

  it.each(ANY_CALL.filter(([name]) => !name.includes('trailers')))('%s fails an upload', async (_, mouth) => {
    const port = await listen(mouth)
    const content = Readable.from([Buffer.alloc(1000)])
    expectContained(await attempt(() => uploadToGuest('127.0.0.1', '/x', content, soon(), port)))
  })

  it.each(ANY_CALL)('%s fails a command', async (_, mouth) => {
    const port = await listen(mouth)
    expectContained(await attempt(() => runInGuest('127.0.0.1', { ...command, signal: soon() }, port)))
  })

  it('byte by byte fails a POST at the total timeout, not because of a late byte', async () => {
    const client = new GuestClient('127.0.0.1', await listen(drip(`${OK}Content-Length: 99999\r\n\r\n`)))
    const { error, tookMs } = await attempt(() => client.post('/init', {}))
    expect(error).toMatchObject({
      errorName: 'sandbox_create_failed',
      message: /no whole answer within 10000 ms/,
    })
    // waiting for the last byte would take far longer
    expect(tookMs).toBeLessThan(18_000)
    client.close()
  })

  it('an error with a long and odd text has it cut and cleaned', async () => {
    const words = `\x1b[31m${'w'.repeat(8_000)}`
    const mouth = saying(`HTTP/1.1 500 No\r\nContent-Length: ${words.length}\r\n\r\n${words}`)
    const client = new GuestClient('127.0.0.1', await listen(mouth))
    const { error } = await attempt(() => client.post('/init', {}))
    expect((error as Error).message).toMatch(/answered 500 to POST \/init: \ufffd\[31mw{495}$/)
    client.close()
  })
})

describe('messages of a process', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['of 4 GB', streamOf(envelopeOf(2 ** 32 - 1))],
    ['of half a megabyte', streamOf(raw(`"${'x'.repeat(2 ** 19)}"`))],
    ['that are marked as compressed', streamOf(raw('{}', 1))],
    ['that are not JSON', streamOf(raw('{"event":'))],
    ['nested without end', streamOf(raw(`${'['.repeat(100_000)}${']'.repeat(100_000)}`))],
    ['whose exit code is a list', streamOf(toFrame({ event: { end: { exitCode: [1], exited: true } } }))],
    ['that end before the process', streamOf(raw('{}', 2))],
    [
      'after the last one',
      flood(Buffer.concat([Buffer.from(CHUNKED), chunk(raw('{}', 2))]), chunk(raw('{}'))),
    ],
  ])('%s fail the command', async (_, mouth) => {
    const port = await listen((socket) => {
      mouth(socket)
      setTimeout(() => socket.end('0\r\n\r\n'), 500)
    })
    expectContained(await attempt(() => runInGuest('127.0.0.1', { ...command, signal: soon() }, port)))
  })

  it.each<[string, Buffer]>([
    [
      'of output without end',
      toFrame({ event: { data: { stdout: Buffer.alloc(60_000).toString('base64') } } }),
    ],
    ['without content, without end', Buffer.alloc(5)],
    ['of odd shapes without end', toFrame({ event: [null, { data: 'x' }], other: { stdout: 1 } })],
  ])('%s do not keep the server busy', async (_, frame) => {
    const { port, end } = await floodFromOutside(CHUNKED, chunk(frame))
    const before = process.threadCpuUsage()
    const { error, grown } = await attempt(() =>
      runInGuest('127.0.0.1', { ...command, signal: AbortSignal.timeout(2_000) }, port),
    )
    const { user, system } = process.threadCpuUsage(before)
    end()
    expect(error).toMatchObject({ name: 'TimeoutError' })
    expect(grown).toBeLessThan(MAX_GROWTH_BYTES)
    expect((user + system) / 1000).toBeLessThan(1_000)
  })

  it('that arrive byte by byte are assembled', async () => {
    const frames = Buffer.concat([
      toFrame({ event: { start: { pid: 7 } } }),
      toFrame({ event: { data: { stdout: Buffer.from('a "quoted \\" word').toString('base64') } } }),
      toFrame({ event: { end: { exitCode: 3, exited: true } } }),
      raw('{}', 2),
    ])
    const pieces = [...frames].map((byte) => chunk(Buffer.from([byte])))
    const port = await listen(
      saying(Buffer.concat([Buffer.from(CHUNKED), ...pieces, Buffer.from('0\r\n\r\n')])),
    )
    let output = ''
    const onOutput = (text: string) => void (output += text)
    expect(await runInGuest('127.0.0.1', { ...command, onOutput, signal: soon() }, port)).toBe(3)
    expect(output).toBe('a "quoted \\" word')
  })

  it('that refuse the process are reported with the reason', async () => {
    const port = await listen(
      streamOf(raw('{"error":{"code":"unauthenticated","message":"invalid username"}}', 2)),
    )
    await expect(runInGuest('127.0.0.1', { ...command, signal: soon() }, port)).rejects.toThrow(
      'unauthenticated: invalid username',
    )
  })

  it('of a command with dropped output are read to the end, so that the connection can be reused', async () => {
    let connections = 0
    const port = await listen((socket) => {
      connections++
      const end = Buffer.concat([chunk(raw('{"event":{"end":{"exited":true}}}')), chunk(raw('{}', 2))])
      socket.write(Buffer.concat([Buffer.from(CHUNKED), end, Buffer.from('0\r\n\r\n')]))
      socket.on('data', () => socket.write('HTTP/1.1 204 No Content\r\n\r\n'))
    })
    const client = new GuestClient('127.0.0.1', port)
    await client.runCommand(command, 1_000)
    await client.post('/init', {})
    expect(connections).toBe(1)
    client.close()
  })
})
