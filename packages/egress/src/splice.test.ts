import { createHash, randomBytes } from 'node:crypto'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import { afterEach, expect, test } from 'vitest'
import { connectFirst } from './connect-first.ts'
import { type SpliceEnd, splice } from './splice.ts'
import { selfSigned } from './test-support/tls-server.ts'

const never = new AbortController().signal
const NOTHING = Buffer.alloc(0)
const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})

async function listen(onConnection: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as { port: number }).port
}

/** Connects a client to a server by a splice; with `delayMs` between the connection and the splice. */
async function spliced(
  onServer: (socket: Socket) => void,
  { idleTimeoutMs = 10_000, delayMs = 0, head = NOTHING } = {},
): Promise<{ client: Socket; end: Promise<SpliceEnd> }> {
  const serverPort = await listen((socket) => {
    socket.resume()
    onServer(socket)
  })
  let onEnd: (end: Promise<SpliceEnd>) => void
  const end = new Promise<SpliceEnd>((resolve) => (onEnd = resolve))
  const proxyPort = await listen(async (socket) => {
    const server = await connectFirst(['127.0.0.1'], serverPort, never)
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    onEnd(splice(socket, server, { head, idleTimeoutMs }))
  })
  const client = connect({ port: proxyPort, host: '127.0.0.1', allowHalfOpen: true })
  client.on('error', () => {})
  return { client, end }
}

const sha256 = (data: Buffer) => createHash('sha256').update(data).digest('hex')

test('a download of any rhythm arrives unchanged, also at a client that reads slowly', async () => {
  const data = randomBytes(20_000_000)
  const { client, end } = await spliced(async (socket) => {
    for (let at = 0, size = 1; at < data.length; at += size) {
      size = 1 + Math.floor(Math.random() ** 6 * 2_000_000)
      if (!socket.write(data.subarray(at, at + size)))
        await new Promise((resolve) => socket.once('drain', resolve))
    }
    socket.end()
  })
  const hash = createHash('sha256')
  for await (const chunk of client) {
    hash.update(chunk)
    if (Math.random() < 0.05) await new Promise((resolve) => setTimeout(resolve, 2))
  }
  client.end()
  expect(hash.digest('hex')).toBe(sha256(data))
  expect(await end).toBe('closed')
})

test('an upload arrives unchanged behind what was read before', async () => {
  const data = randomBytes(5_000_000)
  const head = Buffer.from('head')
  let received: Promise<Buffer[]> | undefined
  const { client } = await spliced(
    (socket) => {
      received = socket.toArray()
      received.then(() => socket.end('done'))
    },
    { head },
  )
  client.end(data)
  expect(Buffer.concat(await client.toArray()).toString()).toBe('done')
  expect(sha256(Buffer.concat(await received!))).toBe(sha256(Buffer.concat([head, data])))
})

test('what a server sends and ends before the splice is delivered', async () => {
  const data = randomBytes(100_000)
  const { client, end } = await spliced((socket) => socket.end(data), { delayMs: 50 })
  expect(sha256(Buffer.concat(await client.toArray()))).toBe(sha256(data))
  client.end()
  expect(await end).toBe('closed')
})

test('a client that ended before the splice still gets an answer', async () => {
  const { client, end } = await spliced(
    async (socket) => {
      await socket.toArray()
      socket.end('answer')
    },
    { delayMs: 50, head: Buffer.from('question') },
  )
  client.end()
  expect(Buffer.concat(await client.toArray()).toString()).toBe('answer')
  expect(await end).toBe('closed')
})

test('a reset of the client resets the server', async () => {
  let code: Promise<string> | undefined
  const { client, end } = await spliced((socket) => {
    code = new Promise((resolve) =>
      socket.once('error', (error) => resolve((error as NodeJS.ErrnoException).code!)),
    )
    socket.write('x')
  })
  await new Promise((resolve) => client.once('data', resolve))
  client.resetAndDestroy()
  expect(await code).toBe('ECONNRESET')
  expect(await end).toBe('closed')
})

test('a client that does not read holds the server back, and ends with the idle timeout', async () => {
  let sent = 0
  const { client, end } = await spliced(
    async (socket) => {
      const block = Buffer.alloc(1_000_000)
      while (!socket.destroyed && sent < 200e6) {
        sent += block.length
        if (!socket.write(block))
          await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve))
      }
    },
    { idleTimeoutMs: 300 },
  )
  client.pause()
  expect(await end).toBe('idle_timeout')
  // what fits into the buffers of two connections in the kernel
  expect(sent).toBeLessThan(50e6)
  client.destroy()
})

test('a server that is reached by TLS can be cut too', async () => {
  const { key, cert } = selfSigned()
  const tlsServer = createTlsServer({ key, cert }, (socket) => socket.write('hello'))
  servers.push(tlsServer)
  await new Promise<void>((resolve) => tlsServer.listen(0, '127.0.0.1', resolve))
  const { port } = tlsServer.address() as { port: number }
  const server = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
  await new Promise((resolve) => server.once('secureConnect', resolve))
  let end: Promise<SpliceEnd> | undefined
  const proxyPort = await listen((socket) => {
    end = splice(socket, server, { head: NOTHING, idleTimeoutMs: 10_000 })
  })
  const client = connect(proxyPort, '127.0.0.1')
  client.on('error', () => {})
  await new Promise((resolve) => client.once('data', resolve))
  client.resetAndDestroy()
  expect(await end).toBe('closed')
})

test('a client that has gone before the splice ends the server', async () => {
  const serverPort = await listen((socket) => socket.once('end', () => socket.end()).resume())
  const server = await connectFirst(['127.0.0.1'], serverPort, never)
  const gone = connect(serverPort, '127.0.0.1')
  await new Promise((resolve) => gone.once('close', resolve).once('connect', () => gone.destroy()))
  const options = { head: NOTHING, idleTimeoutMs: 10_000 }
  expect(await splice(gone, server, options)).toBe('closed')
  expect(server.destroyed).toBe(true)
})
