import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Contexts } from './contexts.ts'
import { Refusal } from './refusal.ts'
import { answer } from './routes.ts'

const TOKEN = 'the-token-of-the-sandbox'

let server: Server
let base: string
/** Tokens that envd has checked, in order. */
let asked: Array<string | undefined>

beforeEach(async () => {
  asked = []
  const contexts = new Contexts()
  // answers like envd of a secure sandbox
  const environment = async (token: string | undefined) => {
    asked.push(token)
    if (token !== TOKEN) throw new Refusal(401, 'wrong token')
    return {}
  }
  server = createServer((request, response) => {
    void answer({ contexts, isReady: () => true, environment }, request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const ask = async (method: string, path: string, token?: string): Promise<number> => {
  const headers: Record<string, string> = token === undefined ? {} : { 'X-Access-Token': token }
  const response = await fetch(base + path, { method, headers, signal: AbortSignal.timeout(10_000) })
  await response.arrayBuffer()
  return response.status
}

const ROUTES = [
  ['POST', '/execute'],
  ['GET', '/contexts'],
  ['POST', '/contexts'],
  ['DELETE', '/contexts/one'],
  ['POST', '/contexts/one/restart'],
  ['GET', '/health'],
  ['GET', '/nothing'],
] as const

test.each(ROUTES)(
  '%s %s with a wrong token is refused before the request is examined',
  async (method, path) => {
    expect(await ask(method, path, 'wrong')).toBe(401)
    expect(await ask(method, path, '')).toBe(401)
    expect(asked).toEqual(['wrong', ''])
  },
)

test('the right token opens every route', async () => {
  expect(await ask('GET', '/contexts', TOKEN)).toBe(200)
  expect(await ask('GET', '/health', TOKEN)).toBe(200)
  expect(await ask('DELETE', '/contexts/one', TOKEN)).toBe(404)
  expect(await ask('POST', '/execute', TOKEN)).toBe(400)
})

test('without a token no code runs, but requests that official clients send without a token are answered', async () => {
  expect(await ask('POST', '/execute')).toBe(401)
  expect(asked).toEqual([undefined])
  expect(await ask('GET', '/contexts')).toBe(200)
  expect(await ask('DELETE', '/contexts/one')).toBe(404)
  expect(await ask('GET', '/health')).toBe(200)
  expect(asked).toEqual([undefined])
})

test.each(['waits', 'ends', 'resets'] as const)(
  'a body that is cut off at any byte is refused with a 400 when the client %s',
  async (then) => {
    const logged = vi.spyOn(console, 'error')
    const body = JSON.stringify({ code: '"ä"', language: 'no-such-language', env_vars: { A: 'b' } })
    const { port } = server.address() as AddressInfo
    for (let at = 0; at < Buffer.byteLength(body); at++) {
      const sent = Buffer.from(body).subarray(0, at)
      const announced = then === 'waits' ? at : Buffer.byteLength(body)
      const socket = connect(port, '127.0.0.1')
      socket.write(
        `POST /execute HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Access-Token: ${TOKEN}\r\nContent-Length: ${announced}\r\n\r\n`,
      )
      socket.write(sent, () => {
        if (then === 'ends') socket.end()
        if (then === 'resets') setTimeout(() => socket.resetAndDestroy(), 2)
      })
      const answered = await text(socket).catch(() => '')
      if (then === 'waits' || answered !== '')
        expect(answered, `after ${at} bytes`).toMatch(/^HTTP\/1.1 400 /)
    }
    expect(logged).not.toHaveBeenCalled()
    logged.mockRestore()
  },
)

test('a body that is too large is read to its end, so that the client gets the answer and the connection stays open', async () => {
  const response = await fetch(`${base}/execute`, {
    method: 'POST',
    headers: { 'X-Access-Token': TOKEN },
    body: 'x'.repeat(9_000_000),
    signal: AbortSignal.timeout(10_000),
  })
  expect(response.status).toBe(413)
  expect(response.headers.get('connection')).toBe('keep-alive')
})
