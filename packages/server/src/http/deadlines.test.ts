import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let http: Server
let port = 0
/** The server's end of the newest connection. */
let newest: Socket | undefined

beforeEach(async () => {
  // like the real listener, without the limits of Node and Fastify
  http = createServer({ requestTimeout: 0 }, (request, response) =>
    under.current.server.fastify.routing(request, response),
  )
  newest = undefined
  http.on('connection', (socket) => (newest = socket))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  port = (http.address() as AddressInfo).port
})
afterEach(() => {
  http.closeAllConnections()
  http.close()
})

function send(head: string): Socket {
  const socket = connect(port, '127.0.0.1')
  socket.write(`${head}\r\nHost: x\r\nContent-Length: 1000\r\n\r\n`)
  return socket
}

/** The default pace: a request must bring 4 KiB in each. */
const INTERVAL_MS = 10_000

/** Resolves when the server has read so many bytes of the newest connection. */
const received = (bytes: number) =>
  expect.poll(() => newest?.bytesRead ?? 0, { interval: 5 }).toBeGreaterThanOrEqual(bytes)

describe('the body of a request', () => {
  // fakes only the clock of the deadlines: connections use real time
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }))
  afterEach(() => void vi.useRealTimers())

  test.each([
    ['that never comes', 0],
    ['that comes byte by byte', 1],
  ])('%s ends the request', async (_, bytesASecond) => {
    const form = 'Content-Type: application/x-www-form-urlencoded'
    const socket = send(`POST /oauth/token HTTP/1.1\r\n${form}`)
    const answer = text(socket)
    await received(1)
    const head = newest!.bytesRead
    for (let passed = 1_000; passed <= INTERVAL_MS; passed += 1_000) {
      expect(socket.readableEnded).toBe(false)
      socket.write('x'.repeat(bytesASecond))
      await received(head + (passed / 1_000) * bytesASecond)
      await vi.advanceTimersByTimeAsync(1_000)
    }
    expect(await answer).toMatch(/^HTTP\/1.1 408 [\s\S]*did not arrive in time/)
  })

  test('that arrives slowly, but steadily, is accepted', async () => {
    const { key } = under.current
    const body = JSON.stringify({ templateID: 'nothing-of-that-name', metadata: { a: 'b'.repeat(40_000) } })
    const slow = connect(port, '127.0.0.1')
    const head = `POST /sandboxes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: ${key}`
    const start = `${head}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    slow.write(start)
    const answer = text(slow)
    await received(start.length)
    for (let at = 0; at < body.length; at += 5_000) {
      slow.write(body.slice(at, at + 5_000))
      await received(start.length + Math.min(at + 5_000, body.length))
      await vi.advanceTimersByTimeAsync(INTERVAL_MS)
    }
    expect(await answer).toMatch(/^HTTP\/1.1 404 /)
  })

  test('of an unknown route is not waited for', async () => {
    const socket = send('POST /nothing HTTP/1.1')
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1.1 404 [\s\S]*there is no POST \/nothing/)
    socket.destroy()
  })
})
