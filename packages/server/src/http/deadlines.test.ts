import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let http: Server
let port = 0

beforeEach(async () => {
  // as the listener does it: no limit of node's own, and none of fastify's
  http = createServer({ requestTimeout: 0 }, (request, response) =>
    under.current.server.fastify.routing(request, response),
  )
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

describe('the body of a request', () => {
  test.each([
    ['that never comes', 0],
    ['that comes byte by byte', 1_000],
  ])('%s ends the request', async (_, everyMs) => {
    const form = 'Content-Type: application/x-www-form-urlencoded'
    const socket = send(`POST /oauth/token HTTP/1.1\r\n${form}`)
    const timer = everyMs > 0 ? setInterval(() => socket.write('x'), everyMs) : undefined
    const start = performance.now()
    const answer = await text(socket).finally(() => clearInterval(timer))
    expect(answer).toMatch(/^HTTP\/1.1 408 [\s\S]*did not arrive in time/)
    expect(performance.now() - start).toBeLessThan(13_000)
  })

  test('that arrives slowly, but steadily, is waited for', async () => {
    const { key } = under.current
    const body = JSON.stringify({ templateID: 'nothing-of-that-name', metadata: { a: 'b'.repeat(40_000) } })
    const slow = connect(port, '127.0.0.1')
    const head = `POST /sandboxes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: ${key}`
    slow.write(`${head}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`)
    let at = 0
    const timer = setInterval(() => {
      slow.write(body.slice(at, at + 3_000))
      at += 3_000
    }, 1_000)
    const answer = await text(slow).finally(() => clearInterval(timer))
    expect(answer).toMatch(/^HTTP\/1.1 404 /)
  })

  test('of an unknown route is not waited for', async () => {
    const socket = send('POST /nothing HTTP/1.1')
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1.1 404 [\s\S]*there is no POST \/nothing/)
    socket.destroy()
  })
})
