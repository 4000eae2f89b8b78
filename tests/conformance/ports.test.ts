import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { text } from 'node:stream/consumers'
import { beforeAll, expect, test, vi } from 'vitest'
import WebSocket from 'ws'
import {
  apiKey,
  describeClients,
  domain,
  fetchWithin,
  ownSandboxes,
  rejection,
  type Sandbox,
  sandboxUrl,
  sharedSandbox,
} from './official.ts'

/** A web application: echoes requests, streams on demand, speaks WebSocket by hand (short text frames). */
const application = `
const http = require('node:http'), crypto = require('node:crypto')
const server = http.createServer((request, response) => {
  if (request.url === '/stream') {
    response.write('first')
    return server.once('release', () => response.end('last'))
  }
  if (request.url === '/release') { server.emit('release'); return response.end() }
  if (request.url === '/cut') { response.writeHead(200, { 'content-length': 100 }); response.write('half'); return setTimeout(() => response.destroy(), 50) }
  const hash = crypto.createHash('sha256'); let size = 0
  request.on('data', (chunk) => { size += chunk.length; hash.update(chunk) })
  request.on('end', () => {
    response.writeHead(request.url === '/teapot' ? 418 : 200, { 'content-type': 'application/json', 'set-cookie': ['a=1', 'b=2'] })
    response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, size, sha256: hash.digest('hex') }))
  })
})
server.on('upgrade', (request, socket) => {
  const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n')
  socket.on('error', () => {})
  socket.on('data', (frame) => {
    if ((frame[0] & 15) === 8) return socket.end(Buffer.from([0x88, 0]))
    const length = frame[1] & 127, mask = frame.subarray(2, 6)
    const text = Buffer.from(frame.subarray(6, 6 + length)).map((byte, i) => byte ^ mask[i % 4])
    const answer = Buffer.from('echo ' + text)
    socket.write(Buffer.concat([Buffer.from([0x81, answer.length]), answer]))
  })
})
server.listen(Number(process.argv[2]), process.argv[3], () => console.log('listening'))
`

async function serve(sandbox: Sandbox, port: number, address: string): Promise<void> {
  await sandbox.files.write('/home/user/app.cjs', application)
  const listening = Promise.withResolvers<void>()
  const handle = await sandbox.commands.run(`exec node /home/user/app.cjs ${port} ${address}`, {
    background: true,
    timeoutMs: 0,
    onStdout: () => listening.resolve(),
  })
  handle.wait().catch(listening.reject)
  await listening.promise
}

describeClients('a port of a sandbox', (client) => {
  const sandbox = sharedSandbox(client)
  const create = ownSandboxes(client)
  const url = (path = '/', port = 8000) => `https://${sandbox().getHost(port)}${path}`

  beforeAll(async () => {
    await serve(sandbox(), 8000, '0.0.0.0')
  }, 30_000)

  test('has a host name of its own under the domain', () => {
    expect(sandbox().getHost(8000)).toBe(`8000-${sandbox().sandboxId}.${domain}`)
  })

  test('answers HTTP over TLS and forwards the whole request', async () => {
    const response = await fetchWithin(url('/path?query=1%202'), {
      method: 'PUT',
      body: 'body',
      headers: { 'X-Own': 'kept', Authorization: 'Bearer for-the-app', Cookie: 'c=3' },
    })
    expect(response.status).toBe(200)
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    const seen = (await response.json()) as { headers: Record<string, string> }
    expect(seen).toMatchObject({
      method: 'PUT',
      url: '/path?query=1%202',
      size: 4,
      headers: {
        'x-own': 'kept',
        authorization: 'Bearer for-the-app',
        cookie: 'c=3',
        host: sandbox().getHost(8000),
      },
    })
    expect((await fetchWithin(url('/teapot'))).status).toBe(418)
  })

  test('speaks HTTP/2 to a client that offers it', async () => {
    const session = http2.connect(`https://${sandbox().getHost(8000)}`)
    try {
      session.setTimeout(10_000, () => session.destroy(new Error('no answer')))
      const request = session.request({ ':path': '/over-h2' })
      const [headers] = (await once(request, 'response')) as [Record<string, unknown>]
      expect(headers[':status']).toBe(200)
      expect(session.alpnProtocol).toBe('h2')
      let body = ''
      for await (const chunk of request) body += chunk
      expect(JSON.parse(body)).toMatchObject({ url: '/over-h2' })
    } finally {
      session.destroy()
    }
  })

  test('is also reached by plain HTTP with routing headers', async () => {
    const headers = { 'E2b-Sandbox-Id': sandbox().sandboxId, 'E2b-Sandbox-Port': '8000' }
    const response = await fetchWithin(`${sandboxUrl}/routed`, { headers })
    expect(await response.json()).toMatchObject({ url: '/routed' })
    const half = await fetchWithin(`${sandboxUrl}/routed`, {
      headers: { 'E2b-Sandbox-Id': sandbox().sandboxId },
    })
    expect(half.status).toBe(400)
    await half.body?.cancel()
  })

  test('streams its answer as it arrives', async () => {
    const response = await fetchWithin(url('/stream'))
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader.read()).value).toBe('first')
    await fetchWithin(url('/release'))
    expect((await reader.read()).value).toBe('last')
    expect((await reader.read()).done).toBe(true)
  })

  test('takes 32 MB of body', async () => {
    const response = await fetchWithin(
      url('/body'),
      { method: 'POST', body: Buffer.alloc(32_000_000, 'x') },
      30_000,
    )
    expect(await response.json()).toMatchObject({ size: 32_000_000 })
  }, 40_000)

  test('cuts the answer off when the application does', async () => {
    const response = await fetchWithin(url('/cut'))
    await expect(response.text()).rejects.toThrow()
  })

  test('speaks WebSocket', async () => {
    const socket = new WebSocket(`wss://${sandbox().getHost(8000)}/socket`, { handshakeTimeout: 10_000 })
    try {
      await once(socket, 'open', { signal: AbortSignal.timeout(10_000) })
      for (const word of ['hello', 'again']) {
        socket.send(word)
        const [message] = await once(socket, 'message', { signal: AbortSignal.timeout(10_000) })
        expect(String(message)).toBe(`echo ${word}`)
      }
      socket.close()
      await once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
    } finally {
      socket.terminate()
    }
  })

  test('breaks WebSockets and streams when the sandbox is killed', async () => {
    const own = await create()
    await serve(own, 8000, '0.0.0.0')
    const socket = new WebSocket(`wss://${own.getHost(8000)}/socket`, { handshakeTimeout: 10_000 })
    socket.on('error', () => {})
    await once(socket, 'open', { signal: AbortSignal.timeout(10_000) })
    const response = await fetchWithin(`https://${own.getHost(8000)}/stream`)
    const closed = once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
    const [error] = await Promise.all([rejection(response.text()), own.kill()])
    expect(error.name).not.toBe('TimeoutError')
    await closed
  }, 40_000)

  test('is reachable although the application listens only on 127.0.0.1', async () => {
    await serve(sandbox(), 8123, '127.0.0.1')
    expect(await (await fetchWithin(url('/local', 8123))).json()).toMatchObject({ url: '/local' })
    const socket = new WebSocket(`wss://${sandbox().getHost(8123)}/`, { handshakeTimeout: 10_000 })
    try {
      await once(socket, 'open', { signal: AbortSignal.timeout(10_000) })
    } finally {
      socket.terminate()
    }
  }, 30_000)

  test('is reachable although the application listens only on ::1', async () => {
    await serve(sandbox(), 8124, '::1')
    expect(await (await fetchWithin(url('/local6', 8124))).json()).toMatchObject({ url: '/local6' })
  }, 30_000)

  test('that is closed answers 502 that says so, and works once something listens', async () => {
    const response = await fetchWithin(url('/', 8999))
    expect(response.status).toBe(502)
    expect(await response.json()).toMatchObject({
      sandboxId: sandbox().sandboxId,
      message: 'The sandbox is running but port is not open',
      port: 8999,
      code: 502,
    })
    await serve(sandbox(), 8999, '0.0.0.0')
    await vi.waitFor(async () => expect((await fetchWithin(url('/', 8999))).status).toBe(200), 5_000)
  }, 30_000)

  test('of a sandbox that does not exist answers 502 that says so', async () => {
    const response = await fetchWithin(`https://8000-i0123456789abcdefghij.${domain}/`)
    expect(response.status).toBe(502)
    expect(await response.json()).toEqual({
      sandboxId: 'i0123456789abcdefghij',
      message: 'The sandbox was not found',
      code: 502,
    })
  })

  test('shows a browser a page instead of JSON', async () => {
    // fetch cannot be used: its Sec-Fetch-Mode says that it is not a navigation.
    const request = https.get(`https://8000-i0123456789abcdefghij.${domain}/`, {
      headers: { Accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'Sec-Fetch-Mode': 'navigate' },
      timeout: 10_000,
    })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    expect(response.statusCode).toBe(502)
    expect(response.headers['content-type']).toMatch(/^text\/html/)
    expect(await text(response)).toContain('i0123456789abcdefghij')
  })

  test('never learns the API key', async () => {
    const response = await fetchWithin(url('/'))
    expect(await response.text()).not.toContain(apiKey)
  })

  test.each(['/init', '/freeze', '/unfreeze', '/collapse', '/fsfreeze', '/fsthaw', '/upgrade', '/forward'])(
    'of envd hides the control route %s',
    async (path) => {
      const response = await fetchWithin(url(path, 49983), { method: 'POST', body: '{}' })
      expect([401, 403, 404]).toContain(response.status)
      expect(await sandbox().isRunning()).toBe(true)
      expect((await sandbox().commands.run('echo same token')).stdout).toBe('same token\n')
    },
  )
})
