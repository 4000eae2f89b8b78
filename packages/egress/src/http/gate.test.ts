import { createServer, type IncomingMessage, type RequestListener, request } from 'node:http'
import { connect, createServer as createTcpServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { ALL_RANGES, type NetworkPolicy } from '@sandlot/protocol/node'
import { describe, expect, it } from 'vitest'
import { gateTo } from '../test-support/gate-world.ts'
import { type HttpWorld, listen } from '../test-support/http-world.ts'

const ONLY_EXAMPLE = { allowNames: ['example.com', '*.example.org'], denyRanges: [ALL_RANGES] }

const echo: RequestListener = (incoming, response) => {
  response.setHeader('x-seen-host', incoming.headers.host ?? 'none')
  response.setHeader('x-seen-url', incoming.url ?? '')
  incoming.pipe(response)
}

async function gate(
  policy: Partial<NetworkPolicy> = {},
  upstream: RequestListener = echo,
  idleTimeoutMs?: number,
): Promise<HttpWorld> {
  const server = createServer(upstream)
  server.on('upgrade', (incoming, socket) => {
    socket.on('error', () => {})
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${incoming.headers.upgrade}\r\n\r\n`,
    )
    socket.pipe(socket)
  })
  return gateTo(await listen(server), policy, idleTimeoutMs)
}

/** Sends raw bytes and reads until the other side ends the connection. */
async function raw(world: HttpWorld, ...pieces: string[]): Promise<string> {
  const socket = connect(world.port, '127.0.0.1')
  socket.on('error', () => {})
  const answer = text(socket).catch(() => '')
  for (const piece of pieces) {
    socket.write(piece, 'latin1')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return answer
}

const get = (host: string, more = '', path = '/'): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`
const CLOSE = 'Connection: close\r\n'
const statusesOf = (answer: string): string[] =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status!)

describe('the gate for HTTP', () => {
  it('connects to the name that its policy allows, and records the request without its query', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const answer = await raw(world, get('Example.COM.:80', CLOSE, '/a/b?key=hidden'))
    expect(answer).toContain('x-seen-host: Example.COM.:80')
    expect(world.targets).toEqual([{ name: 'example.com', address: '203.0.113.7', port: 80 }])
    const record = await world.recordOf(({ http }) => http?.status === 200)
    expect(record).toMatchObject({
      protocol: 'http',
      name: 'example.com',
      address: '203.0.113.7',
      port: 80,
      verdict: 'allowed',
      rule: 'allow example.com',
      http: { method: 'GET', path: '/a/b', status: 200 },
    })
    expect(JSON.stringify(world.records)).not.toContain('hidden')
  })

  it('says what it denies, by which rule, and how to allow it', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const answer = await raw(world, get('evil.example'))
    expect(statusesOf(answer)).toEqual(['403'])
    expect(answer).toMatch(/connection: close/i)
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
    expect(body).toMatchObject({ code: 403, error: 'denied', rule: 'deny 0.0.0.0/0' })
    expect(body.message).toContain('evil.example')
    expect(body.remedy).toContain('network.allowOut')
    expect(world.targets).toEqual([])
    expect(world.records).toMatchObject([
      { verdict: 'denied', rule: 'deny 0.0.0.0/0', http: { status: 403 } },
    ])
  })

  it('checks every request of a connection', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const answer = await raw(world, get('example.com'), get('evil.example'), get('example.com'))
    expect(statusesOf(answer)).toEqual(['200', '403'])
  })

  it('checks every pipelined request, and answers in order', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const answer = await raw(
      world,
      get('example.com', '', '/1') +
        get('a.example.org', '', '/2') +
        get('evil.example') +
        get('example.com'),
    )
    expect(statusesOf(answer)).toEqual(['200', '200', '403'])
    expect(answer.indexOf('x-seen-url: /1')).toBeLessThan(answer.indexOf('x-seen-url: /2'))
    expect(world.targets.map(({ name }) => name)).toEqual(['example.com', 'a.example.org'])
  })

  it('decides by the policy of the moment', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const socket = connect(world.port, '127.0.0.1')
    const answer = text(socket)
    socket.write(get('example.com'))
    await world.recordOf(({ http }) => http?.status === 200)
    world.setPolicy({ denyRanges: [ALL_RANGES] })
    socket.write(get('example.com'))
    expect(statusesOf(await answer)).toEqual(['200', '403'])
  })

  it.each(['203.0.113.9', '203.0.113.9:80', '[2001:db8::1]', '0177.0.0.1', '0x7f.1', '2130706433', ''])(
    'lets the address decide when the host is %s',
    async (host) => {
      const world = await gate({ ...ONLY_EXAMPLE, allowNames: ['*'] })
      expect(statusesOf(await raw(world, get(host)))).toEqual(['403'])
      const open = await gate({ allowRanges: ['203.0.113.7/32'], denyRanges: [ALL_RANGES] })
      expect(statusesOf(await raw(open, get(host, CLOSE)))).toEqual(['200'])
      expect(open.targets).toEqual([{ address: '203.0.113.7', port: 80 }])
    },
  )

  it('lets the address decide without a host', async () => {
    const world = await gate({ allowNames: ['*'], denyRanges: [ALL_RANGES] })
    expect(statusesOf(await raw(world, 'GET / HTTP/1.0\r\n\r\n'))).toEqual(['403'])
    expect(statusesOf(await raw(world, `GET / HTTP/1.1\r\n\r\n`))).toEqual(['403'])
  })

  it.each([
    ['two hosts', 'GET / HTTP/1.1\r\nHost: example.com\r\nHost: evil.example\r\n\r\n'],
    ['two equal hosts', 'GET / HTTP/1.1\r\nHost: example.com\r\nhost: example.com\r\n\r\n'],
    ['a target that differs', 'GET http://evil.example/ HTTP/1.1\r\nHost: example.com\r\n\r\n'],
    ['a user in the target', 'GET http://example.com@evil.example/ HTTP/1.1\r\nHost: example.com\r\n\r\n'],
    ['a target of another scheme', 'GET ftp://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n'],
    ['a host with a slash', get('example.com/x')],
    ['a host with a blank', get('example.com evil.example')],
    ['a host with a comma', get('example.com, evil.example')],
    ['a host in UTF-8', get('ex\xc3\xa4mple.com')],
    ['a user in the host', get('evil.example@example.com')],
    [
      'a length twice',
      'POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
    ],
    [
      'a length and chunks',
      'POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a blank before a colon', 'GET / HTTP/1.1\r\nHost : example.com\r\n\r\n'],
    ['a folded header', 'GET / HTTP/1.1\r\nHost: example.com\r\n evil.example\r\n\r\n'],
    ['a bare line feed', 'GET / HTTP/1.1\nHost: example.com\n\n'],
    ['HTTP/2 without TLS', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['no request', 'HELLO example.com\r\n\r\n'],
  ])('answers 400 to a request with %s', async (_, bytes) => {
    const world = await gate({ ...ONLY_EXAMPLE, allowNames: ['*'] })
    expect(statusesOf(await raw(world, bytes))).toEqual(['400'])
    expect(world.targets).toEqual([])
  })

  it('accepts an absolute target that equals the host', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const answer = await raw(
      world,
      `GET http://example.com:80/x?y HTTP/1.1\r\nHost: example.com\r\n${CLOSE}\r\n`,
    )
    expect(answer).toContain('x-seen-url: /x?y')
  })

  it('refuses CONNECT', async () => {
    const world = await gate()
    const answer = await raw(world, 'CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n')
    expect(statusesOf(answer)).toEqual(['405'])
    expect(world.targets).toEqual([])
  })

  it('answers 431 to a head that is too large', async () => {
    const world = await gate()
    expect(statusesOf(await raw(world, get('example.com', `X: ${'a'.repeat(70_000)}\r\n`)))).toEqual(['431'])
  })

  it('sends a rule that has no placeholder, and leaves out one that has', async () => {
    const world = await gate(
      { transforms: { 'example.com': { 'X-Plain': 'yes', Authorization: 'Bearer ${e2b.secrets.key}' } } },
      (incoming, response) => void response.end(JSON.stringify(incoming.headers)),
    )
    world.secrets.set('team-1/key', 's3cret-value')
    const answer = await raw(world, get('example.com', `x-plain: no\r\n${CLOSE}`))
    expect(answer).toContain('"x-plain":"yes"')
    expect(answer).not.toContain('s3cret-value')
  })

  it('answers 502 with the reason when the name cannot be reached', async () => {
    const world = await gateTo(() => undefined)
    const answer = await raw(world, get('example.com'))
    expect(statusesOf(answer)).toEqual(['502'])
    expect(answer).toContain('name_not_found')
    expect(world.records).toMatchObject([
      { verdict: 'failed', reason: 'name_not_found', http: { status: 502 } },
    ])
  })

  it('changes the protocol when the server does', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
    const socket = connect(world.port, '127.0.0.1')
    const answer = text(socket)
    socket.write(get('example.com', upgrade))
    await new Promise<void>((resolve) => socket.once('readable', () => resolve()))
    socket.end('ping')
    expect(await answer).toMatch(/^HTTP\/1\.1 101 .*ping$/s)
    await world.recordOf(({ http }) => http?.status === 101)
    expect(statusesOf(await raw(world, get('evil.example', upgrade)))).toEqual(['403'])
  })

  it('passes a chunked body with trailers, and an interim answer', async () => {
    let trailers: IncomingMessage['trailers'] | undefined
    const world = await gate({}, (incoming, response) => {
      response.writeProcessing()
      response.setHeader('Trailer', 'X-After')
      incoming.on('data', (chunk) => response.write(chunk))
      incoming.on('end', () => {
        trailers = incoming.trailers
        response.addTrailers({ 'X-After': 'done' })
        response.end()
      })
    })
    const head = `POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n${CLOSE}\r\n`
    const answer = await raw(world, head, '5\r\nhello\r\n', '0\r\nX-Before: yes\r\n\r\n')
    expect(statusesOf(answer)).toEqual(['102', '200'])
    expect(answer).toMatch(/hello/)
    expect(answer).toMatch(/x-after: done/i)
    expect(trailers).toEqual({ 'x-before': 'yes' })
  })

  it('asks for the body only when the server does', async () => {
    const server = createServer()
    server.on('checkContinue', (incoming, response) => {
      if (incoming.url === '/no') response.writeHead(413).end()
      else {
        response.writeContinue()
        incoming.pipe(response)
      }
    })
    const world = await gateTo(await listen(server))
    const head = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\nExpect: 100-continue\r\n${CLOSE}\r\n`
    expect(statusesOf(await raw(world, head('/no')))).toEqual(['413'])
    const yes = await raw(world, head('/yes'), 'abc')
    expect(statusesOf(yes)).toEqual(['100', '200'])
    expect(yes).toContain('\r\nabc\r\n')
  })

  it('lets a client that still sends read a refusal', async () => {
    const world = await gate(ONLY_EXAMPLE)
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port: world.port,
        method: 'POST',
        headers: { host: 'evil.example' },
      })
      sent.once('response', (response) => resolve(response.statusCode))
      sent.once('error', reject)
      for (let i = 0; i < 64; i++) sent.write(Buffer.alloc(64 * 1024))
      sent.end()
    })
    expect(status).toBe(403)
  })

  it('passes an early answer to a client that still sends', async () => {
    const world = await gate({}, (_, response) => void response.writeHead(413).end('too large'))
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port: world.port,
        method: 'POST',
        headers: { host: 'example.com' },
      })
      sent.once('response', (response) => resolve(response.resume().statusCode))
      sent.once('error', reject)
      for (let i = 0; i < 64; i++) sent.write(Buffer.alloc(64 * 1024))
      sent.end()
    })
    expect(status).toBe(413)
  })

  it('breaks the upstream request when the client goes, and the answer when the server goes', async () => {
    const aborted = Promise.withResolvers<void>()
    const world = await gate({}, (incoming, response) => {
      if (incoming.url === '/cut') {
        response.writeHead(200, { 'content-length': '100' })
        response.write('half', () => response.destroy())
      } else response.once('close', () => aborted.resolve())
      response.flushHeaders()
    })
    const socket = connect(world.port, '127.0.0.1')
    socket.write(get('example.com'))
    await new Promise((resolve) => socket.once('data', resolve))
    socket.destroy()
    await aborted.promise
    await world.recordOf(({ reason }) => reason === 'client_aborted')
    const cut = await raw(world, get('example.com', '', '/cut'))
    expect(cut).toMatch(/half$/)
    await world.recordOf(({ reason }) => reason === 'upstream_broken')
  })

  it('sends events as they come', async () => {
    const next = Promise.withResolvers<void>()
    const world = await gate({}, async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
      await next.promise
      response.end('data: 2\n\n')
    })
    const socket = connect(world.port, '127.0.0.1')
    socket.write(get('example.com', CLOSE))
    let seen = ''
    for await (const chunk of socket) {
      seen += chunk
      if (seen.includes('data: 1')) next.resolve()
    }
    expect(seen).toContain('data: 2')
  })

  it.each([
    ['HEAD', 200],
    ['GET', 204],
    ['GET', 304],
  ])('passes an answer without a body: %s %i', async (method, status) => {
    const world = await gate({}, (_, response) => {
      response.writeHead(status, status === 204 ? {} : { 'content-length': '5' })
      response.end()
    })
    const answer = await raw(
      world,
      `${method} / HTTP/1.1\r\nHost: example.com\r\n\r\n`,
      get('example.com', CLOSE),
    )
    expect(statusesOf(answer)).toEqual([String(status), String(status)])
  })

  it('ends a request for which nothing arrives', async () => {
    const world = await gate({}, () => {}, 100)
    expect(statusesOf(await raw(world, get('example.com')))).toEqual(['504'])
  })

  it('repeats a request on a new connection when the server had closed the kept one', async () => {
    let connections = 0
    const server = createTcpServer((socket) => {
      const isFirst = connections++ === 0
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
        if (isFirst) socket.once('data', () => socket.resetAndDestroy())
      })
    })
    const world = await gateTo(await listen(server))
    const answer = await raw(world, get('example.com'), get('example.com', CLOSE))
    expect(statusesOf(answer)).toEqual(['200', '200'])
    expect(connections).toBe(2)
  })
})
