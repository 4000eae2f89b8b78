import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import type { Http2SecureServer, ServerHttp2Stream } from 'node:http2'
import { ALL_RANGES, type NetworkPolicy } from '@sandlot/protocol/node'
import { describe, expect, it } from 'vitest'
import {
  askHttp2,
  type InterceptedOptions,
  type InterceptedWorld,
  interceptedWorld,
  sendOverTls,
} from '../test-support/intercepted-world.ts'
import { http1Server, http2Server, newTestAuthority } from '../test-support/tls-servers.ts'

const NAME = 'api.example.com'
const SECRET = 'sk-very-secret-4711'
/** Placeholder of a secret in a rule. */
const secret = (name: string): string => `\${e2b.secrets.${name}}`
const token = (name: string): string => `\${e2b.identity.tokens.${name}}`
const rules = (headers: Record<string, string>): Partial<NetworkPolicy> => ({
  allowNames: [NAME],
  denyRanges: [ALL_RANGES],
  transforms: { [NAME]: headers },
})
const WITH_KEY = rules({ Authorization: `Bearer ${secret('key')}` })
const get = (host = NAME, more = ''): string =>
  `GET /v1?q=1 HTTP/1.1\r\nHost: ${host}\r\n${more}Connection: close\r\n\r\n`

const inspect: RequestListener = (incoming, response) => {
  const chunks: Buffer[] = []
  incoming.on('data', (chunk) => chunks.push(chunk))
  incoming.on('end', () =>
    response.end(
      JSON.stringify({
        headers: incoming.rawHeaders,
        url: incoming.url,
        body: Buffer.concat(chunks).toString(),
      }),
    ),
  )
}

/** A server that speaks HTTP/2, and HTTP/1.1 to others. */
async function both(
  listener: RequestListener,
  options: Partial<InterceptedOptions> = {},
): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const server = http2Server(await authority.leafFor(NAME), { allowHTTP1: true })
  server.on('request', listener as never)
  return withSecret(
    await interceptedWorld(server, { policy: WITH_KEY, upstreamCas: [authority.pem], ...options }),
  )
}

async function onlyHttp1(listener: RequestListener, policy = WITH_KEY): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const server = http1Server(await authority.leafFor(NAME), listener)
  server.on('upgrade', (incoming, socket) => {
    socket.on('error', () => {})
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Auth: ${incoming.headers.authorization}\r\n\r\n`,
    )
    socket.pipe(socket)
  })
  return withSecret(await interceptedWorld(server, { policy, upstreamCas: [authority.pem] }))
}

async function streams(onStream: (stream: ServerHttp2Stream) => void): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const server: Http2SecureServer = http2Server(await authority.leafFor(NAME))
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    onStream(stream)
  })
  return withSecret(await interceptedWorld(server, { policy: WITH_KEY, upstreamCas: [authority.pem] }))
}

function withSecret(world: InterceptedWorld): InterceptedWorld {
  world.secrets.set('team-1/key', SECRET)
  return world
}

const path = (more: Record<string, string> = {}) => ({ ':path': '/v1?q=1', ...more })
const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1])
const bodyOf = (answer: string) => JSON.parse(answer.slice(answer.indexOf('{'), answer.lastIndexOf('}') + 1))

describe.each([
  ['HTTP/1.1', onlyHttp1],
  ['HTTP/2', both],
])('to a server that speaks %s, the interceptor', (_, serve) => {
  it('sets the header of a rule in place of all copies', async () => {
    const world = await serve(inspect)
    const answer = await sendOverTls(
      world,
      get(NAME, 'AUTHORIZATION: a\r\nauthorization: b\r\nX-Other: c\r\n'),
    )
    expect(statusOf(answer)).toBe(200)
    const { headers, url } = bodyOf(answer) as { headers: string[]; url: string }
    const values = headers.filter((__, i) => headers[i - 1]?.toLowerCase() === 'authorization')
    expect(values).toEqual([`Bearer ${SECRET}`])
    expect(headers.map((text) => text.toLowerCase())).toContain('x-other')
    expect(url).toBe('/v1?q=1')
    expect(world.targets).toEqual([{ name: NAME, address: '203.0.113.7', port: 443 }])
    const record = await world.recordOf(({ http }) => http?.status === 200)
    expect(record).toMatchObject({
      protocol: 'https',
      name: NAME,
      rule: `allow ${NAME}`,
      http: { path: '/v1' },
    })
  })

  it('serves clients that speak HTTP/2', async () => {
    const world = await serve(inspect)
    const session = await world.session()
    const answers = await Promise.all(
      Array.from({ length: 20 }, (__, i) =>
        askHttp2(session, { ':method': 'POST', ':path': `/${i}` }, `body ${i}`),
      ),
    )
    for (const [i, { headers, body }] of answers.entries()) {
      expect(headers[':status']).toBe(200)
      expect(JSON.parse(body)).toMatchObject({ url: `/${i}`, body: `body ${i}` })
      expect(body).toContain(`Bearer ${SECRET}`)
    }
  })

  it('uses a secret that was changed for the next request', async () => {
    const world = await serve(inspect)
    const session = await world.session()
    await askHttp2(session, path())
    world.secrets.set('team-1/key', 'rotated')
    expect((await askHttp2(session, path())).body).toContain('Bearer rotated')
  })

  it('sends nothing when a secret is missing, unavailable, or cannot be in a header', async () => {
    let requests = 0
    const world = await serve(() => requests++)
    const ask = async () => bodyOf(await sendOverTls(world, get()))
    world.secrets.delete('team-1/key')
    expect(await ask()).toMatchObject({
      code: 502,
      error: 'secret_missing',
      message: expect.stringContaining('"key"'),
    })
    for (const value of [
      `${SECRET}\n`,
      `a\r\nX: ${SECRET}`,
      `${SECRET}\0`,
      `${SECRET}\u20ac`,
      `${SECRET} `,
    ]) {
      world.secrets.set('team-1/key', value)
      expect(await ask()).toMatchObject({ code: 502, error: 'header_value_invalid' })
    }
    world.credentials.isAvailable = false
    expect(await ask()).toMatchObject({ code: 503, error: 'secrets_unavailable' })
    expect(requests).toBe(0)
    expect(JSON.stringify([world.records, world.logged])).not.toContain(SECRET)
  })

  it('passes an answer in pieces as they come, and a cut answer as cut', async () => {
    const next = Promise.withResolvers<void>()
    const world = await serve(async (incoming, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
      await next.promise
      if (incoming.url === '/cut') (response as never as { stream?: ServerHttp2Stream }).stream?.close(8)
      if (incoming.url === '/cut') response.destroy()
      else response.end('data: 2\n\n')
    })
    const session = await world.session()
    for (const url of ['/whole', '/cut']) {
      const stream = session.request({ ':path': url })
      stream.on('error', () => {})
      const closed = new Promise((resolve) => stream.once('close', resolve))
      await once(stream, 'data')
      next.resolve()
      stream.resume()
      await closed
      expect(stream.rstCode === 0, url).toBe(url === '/whole')
    }
  })
})

describe('the interceptor', () => {
  it('refuses other hosts on a connection', async () => {
    const world = await both(inspect, { policy: { ...WITH_KEY, allowNames: ['*'] } })
    const session = await world.session()
    const coalesced = await askHttp2(session, path({ ':authority': 'other.example.com' }))
    expect(coalesced.headers[':status']).toBe(421)
    expect((await askHttp2(session, path({ ':authority': 'API.example.com:443' }))).headers[':status']).toBe(
      200,
    )
    expect(statusOf(await sendOverTls(world, get('other.example.com')))).toBe(421)
    expect(statusOf(await sendOverTls(world, get('203.0.113.7')))).toBe(421)
    expect(statusOf(await sendOverTls(world, get(`${NAME}\r\nHost: other.example.com`)))).toBe(400)
    expect(
      statusOf(await sendOverTls(world, `GET https://other.example.com/ HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`)),
    ).toBe(400)
    expect(JSON.stringify(world.records)).not.toContain(SECRET)
  })

  it('refuses CONNECT in both versions', async () => {
    const world = await both(inspect)
    expect(statusOf(await sendOverTls(world, `CONNECT ${NAME}:443 HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`))).toBe(
      405,
    )
    const session = await world.session()
    const stream = session.request({ ':method': 'CONNECT', ':authority': `${NAME}:443` })
    stream.on('error', () => {})
    const [headers] = await once(stream, 'response')
    expect(headers[':status']).toBe(405)
  })

  it('denies a request that the policy of the moment denies', async () => {
    const world = await both(inspect)
    const session = await world.session()
    expect((await askHttp2(session, path())).headers[':status']).toBe(200)
    world.setPolicy({ denyRanges: [ALL_RANGES] })
    const denied = await askHttp2(session, path())
    expect(denied.headers[':status']).toBe(403)
    expect(JSON.parse(denied.body)).toMatchObject({ rule: 'deny 0.0.0.0/0' })
  })

  it('ends the stream of a client that still sends what was denied', async () => {
    const world = await both(inspect, { policy: { ...WITH_KEY, allowNames: [] } })
    const stream = (await world.session()).request({ ':method': 'POST', ':path': '/' })
    stream.on('error', () => {})
    const closed = new Promise((resolve) => stream.once('close', resolve))
    const feed = setInterval(() => stream.writable && stream.write(Buffer.alloc(16_384)), 5)
    const [headers] = await once(stream, 'response')
    stream.resume()
    await closed
    clearInterval(feed)
    expect(headers[':status']).toBe(403)
  })

  it('resolves identity tokens, and several placeholders in one value', async () => {
    const world = await both(inspect, { policy: rules({ 'X-Both': `${secret('KEY')}:${token('Cloud')}` }) })
    world.secrets.set('i0000000000000000000a/Cloud', 'jwt')
    expect(await sendOverTls(world, get())).toContain(`${SECRET}:jwt`)
    world.secrets.delete('i0000000000000000000a/Cloud')
    expect(bodyOf(await sendOverTls(world, get()))).toMatchObject({ error: 'identity_token_missing' })
  })

  it('never talks to a server whose certificate is wrong', async () => {
    let requests = 0
    const [trusted, foreign] = [await newTestAuthority(), await newTestAuthority()]
    const expired = await trusted.leafFor(NAME, Date.now() - 30 * 86_400_000)
    for (const leaf of [await foreign.leafFor(NAME), await trusted.leafFor('other.example.com'), expired]) {
      const server = http1Server(leaf, () => requests++)
      const world = withSecret(
        await interceptedWorld(server, { policy: WITH_KEY, upstreamCas: [trusted.pem] }),
      )
      expect(bodyOf(await sendOverTls(world, get()))).toMatchObject({
        code: 502,
        error: 'upstream_certificate_invalid',
      })
      await world.recordOf(({ reason }) => reason === 'upstream_certificate_invalid')
    }
    expect(requests).toBe(0)
  })

  it('reports a name that does not exist', async () => {
    const world = withSecret(await interceptedWorld(() => undefined, { policy: WITH_KEY }))
    expect(bodyOf(await sendOverTls(world, get()))).toMatchObject({ code: 502, error: 'name_not_found' })
  })

  it('records a client that does not trust the certificate', async () => {
    const world = await both(inspect)
    await expect(world.connect({ ca: [] })).rejects.toThrow()
    const record = await world.recordOf(({ protocol }) => protocol === 'tls')
    expect(record).toMatchObject({ name: NAME, verdict: 'failed', reason: 'tls_rejected_by_client' })
  })

  it('records a client that looks at the certificate after the handshake and leaves', async () => {
    const world = await both(inspect)
    ;(await world.connect()).end()
    await world.recordOf(({ reason }) => reason === 'closed_without_request')
  })

  it('accepts no TLS before 1.2, and no other name than the one that was decided', async () => {
    const world = await both(inspect)
    await expect(world.connect({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).rejects.toThrow()
    const socket = await world
      .connect({ servername: 'other.example.com', checkServerIdentity: () => undefined })
      .catch(() => undefined)
    if (socket && !socket.destroyed) await once(socket, 'close')
    await world.recordOf(({ reason }) => reason === 'server_name_changed')
  })

  it('changes the protocol over HTTP/1.1, with the header of the rule', async () => {
    const world = await both(inspect)
    const refused = await sendOverTls(
      world,
      get(NAME, '').replace('Connection: close', 'Connection: Upgrade\r\nUpgrade: websocket'),
    )
    expect(statusOf(refused)).toBe(200)
    const upgrading = await onlyHttp1(inspect)
    const socket = await upgrading.connect()
    socket.write(`GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
    const [head] = await once(socket, 'data')
    expect(String(head)).toMatch(new RegExp(`^HTTP/1.1 101 .*X-Auth: Bearer ${SECRET}`, 's'))
    socket.write('ping')
    const [echoed] = await once(socket, 'data')
    expect(String(echoed)).toBe('ping')
  })

  it('passes trailers both ways, as gRPC needs', async () => {
    const world = await streams((stream) => {
      let sent: unknown
      stream.on('trailers', (trailers) => {
        sent = `${trailers['x-sum']} ${trailers.authorization}`
      })
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-seen': String(sent) }))
      stream.pipe(stream)
    })
    const session = await world.session()
    const answer = await askHttp2(
      session,
      { ':method': 'POST', ':path': '/s/M', te: 'trailers' },
      'message',
      // the rule sets authorization
      { 'x-sum': '42', authorization: 'own' },
    )
    expect(answer).toMatchObject({
      body: 'message',
      trailers: { 'grpc-status': '0', 'x-seen': '42 undefined' },
    })
  })

  it('passes an answer that is a head only, and interim answers', async () => {
    const world = await streams((stream) => {
      stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' })
      stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true })
    })
    const session = await world.session()
    const stream = session.request({ ':path': '/' })
    const interim = once(stream, 'headers')
    const [head, flags] = await once(stream, 'response')
    expect(head['grpc-status']).toBe('5')
    expect(flags & 1).toBe(1)
    expect((await interim)[0][':status']).toBe(103)
  })

  it('tells the server when the client resets a stream', async () => {
    const reset = Promise.withResolvers<void>()
    const world = await streams((stream) => {
      stream.respond({ ':status': 200 })
      stream.write('first')
      stream.once('close', () => reset.resolve())
    })
    const stream = (await world.session()).request({ ':path': '/' })
    await once(stream, 'data')
    stream.close(8)
    await reset.promise
    await world.recordOf(({ reason }) => reason === 'client_aborted')
  })

  it('tells a client which request the server did not process', async () => {
    let requests = 0
    const world = await streams((stream) => {
      if (requests++ === 0) stream.close(7)
      else stream.respond({ ':status': 200 }, { endStream: true })
    })
    const session = await world.session()
    await expect(askHttp2(session, path())).rejects.toThrow('REFUSED_STREAM')
    expect((await askHttp2(session, path())).headers[':status']).toBe(200)
  })

  it('uses one connection to the server for the sessions of a sandbox', async () => {
    const world = await both(inspect)
    for (let i = 0; i < 3; i++) expect(statusOf(await sendOverTls(world, get()))).toBe(200)
    expect(world.targets).toHaveLength(1)
  })
})
