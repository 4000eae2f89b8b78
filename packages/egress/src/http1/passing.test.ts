import { describe, expect, it } from 'vitest'
import { gateTo, RawClient, rawServer, sendRaw } from '../test-support/gate-world.ts'

const NAME = 'example.com'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const CHUNKED = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
const CLOSE = 'Connection: close'
const head = (first: string, ...headers: string[]): string =>
  [first, `Host: ${NAME}`, ...headers, '', ''].join('\r\n')
const get = (...headers: string[]): string => head('GET / HTTP/1.1', ...headers)
const post = (...headers: string[]): string => head('POST / HTTP/1.1', ...headers)
const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4)

/** A server that gives each request without a body its answer. */
const answering = (...answers: string[]) => {
  let next = 0
  return rawServer((received, socket) => {
    if (received.endsWith('\r\n\r\n')) socket.write(answers[next++] ?? '', 'latin1')
  })
}

describe('a request in HTTP/1.1', () => {
  it('reaches the server without headers of the connection to the proxy', async () => {
    const { port, received } = await answering(OK)
    const world = await gateTo(port, { transforms: { [NAME]: { 'x-set': 'yes' } } })
    const hop = ['Connection: close, X-Hop', 'X-Hop: 1', 'Keep-Alive: timeout=5', 'Proxy-Connection: close']
    await sendRaw(world, get('X-SET: no', ...hop, 'X-A: \t\xe4 b '))
    expect(received).toEqual([get('X-A: \xe4 b', 'x-set: yes', 'Connection: keep-alive')])
  })

  it('takes its chunks to the server as they are, and trailers that may pass', async () => {
    const { port, received } = await rawServer((bytes, socket) => {
      if (bytes.includes('\r\n0\r\n')) socket.write(OK)
    })
    const world = await gateTo(port)
    const client = new RawClient(world).send(post('Transfer-Encoding: chunked', CLOSE)).send('5\r\nhel')
    client.send('lo\r\n3;a=b\r\nabc\r\n0\r\nHost: evil\r\nContent-Length: 5\r\nX-Sum: 1\r\n\r\n')
    expect(bodyOf(await client.whole)).toBe('ok')
    expect(bodyOf(received[0]!)).toBe('5\r\nhello\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n')
    const record = await world.recordOf(({ http }) => http?.status === 200)
    expect(record).toMatchObject({ bytesOut: 8, bytesIn: 2 })
  })

  it('shares connections to the server with other connections of the sandbox, one after the other', async () => {
    const { port, received } = await answering(OK, OK, OK)
    const world = await gateTo(port)
    for (let i = 0; i < 3; i++) await sendRaw(world, get(CLOSE))
    expect(received).toHaveLength(1)
  })

  it('leaves a connection alone on which the server has sent more than it was asked for', async () => {
    const { port, received } = await answering(`${OK}HTTP/1.1 200 Poison\r\nContent-Length: 0\r\n\r\n`, OK)
    const world = await gateTo(port)
    for (let i = 0; i < 2; i++) expect(await sendRaw(world, get(CLOSE))).not.toContain('Poison')
    expect(received).toHaveLength(2)
  })

  it.each([
    ['wants to close the connection', OK.replace('\r\n', `\r\n${CLOSE}\r\n`)],
    ['speaks HTTP/1.0', OK.replace('1.1', '1.0')],
  ])('opens another connection when the server %s', async (_, answer) => {
    const { port, received } = await answering(answer, OK)
    const world = await gateTo(port)
    for (let i = 0; i < 2; i++) expect(bodyOf(await sendRaw(world, get(CLOSE)))).toBe('ok')
    expect(received).toHaveLength(2)
  })

  it('is followed by the next one when the server has answered before the body had ended', async () => {
    const early = 'HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n'
    const { port, received } = await rawServer((bytes, socket) => {
      socket.write(bytes.startsWith('POST') ? early : OK)
    })
    const world = await gateTo(port)
    const client = new RawClient(world).send(`${post('Content-Length: 10')}12345`)
    await client.seen('413')
    client.send(`67890${get(CLOSE)}`)
    expect(bodyOf(await client.whole)).toMatch(/200 OK.*ok$/s)
    expect(received).toHaveLength(2)
    expect(received[1]).toMatch(/^GET \/ HTTP/)
  })

  it('is the last one when its client was not told to send the body', async () => {
    const { port } = await answering('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n')
    const world = await gateTo(port)
    const hidden = get('X-Hidden: 1')
    const client = new RawClient(world).send(post(`Content-Length: ${hidden.length}`, 'Expect: 100-continue'))
    await client.seen('401')
    client.send(hidden)
    expect(await client.whole).toMatch(
      /^HTTP\/1\.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n$/,
    )
    expect(world.records).toHaveLength(1)
  })

  it('that expects what nobody knows is refused', async () => {
    const world = await gateTo(() => undefined)
    expect(await sendRaw(world, get('Expect: magic'))).toMatch(/^HTTP\/1\.1 417 /)
  })

  it('gets no body with a refusal of HEAD', async () => {
    const world = await gateTo(() => undefined)
    const answer = await sendRaw(world, head('HEAD / HTTP/1.1'))
    expect(answer).toMatch(/^HTTP\/1\.1 502 .*Content-Length: [1-9]/s)
    expect(bodyOf(answer)).toBe('')
  })

  it('is recorded when its client goes before it has an answer', async () => {
    const { port, firstClosed } = await rawServer(
      (_, socket) => void socket.write('HTTP/1.1 102 Wait\r\n\r\n'),
    )
    const world = await gateTo(port)
    const client = new RawClient(world).send(get())
    await client.seen('102')
    client.socket.destroy()
    await firstClosed
    await world.recordOf(({ reason }) => reason === 'client_aborted')
  })
})

describe('an answer in HTTP/1.1', () => {
  it.each<[string, string, string]>([
    ['chunks as they are', `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, '5\r\nhello\r\n0\r\n\r\n'],
    ['chunks without extensions', `${CHUNKED}5;a\r\nhello\r\n0\r\n\r\n`, '5\r\nhello\r\n0\r\n\r\n'],
    ['trailers that may pass', `${CHUNKED}0\r\nConnection: close\r\nX-A: b\r\n\r\n`, '0\r\nX-A: b\r\n\r\n'],
    ['a length', OK, 'ok'],
  ])('brings %s', async (_, answer, body) => {
    const { port } = await answering(answer)
    expect(bodyOf(await sendRaw(await gateTo(port), get(CLOSE)))).toBe(body)
  })

  it('that ends with its connection has chunks, so that its client knows the end', async () => {
    const { port } = await rawServer((_, socket) => void socket.end('HTTP/1.1 200 OK\r\n\r\nhello'))
    const client = new RawClient(await gateTo(port)).send(get())
    const answer = await client.seen('0\r\n\r\n')
    expect(answer).toMatch(/Transfer-Encoding: chunked\r\nConnection: keep-alive/)
    expect(bodyOf(answer)).toBe('5\r\nhello\r\n0\r\n\r\n')
  })

  it('has no chunks for a client of HTTP/1.0', async () => {
    const { port } = await answering(`${CHUNKED}5\r\nhello\r\n1\r\n!\r\n0\r\nX: a\r\n\r\n`)
    const answer = await sendRaw(await gateTo(port), head('GET / HTTP/1.0', 'Connection: keep-alive'))
    expect(answer).not.toContain('chunked')
    expect(answer).toContain(CLOSE)
    expect(bodyOf(answer)).toBe('hello!')
  })

  it('leaves the connection of a client of HTTP/1.0 that asks for that', async () => {
    const { port } = await answering(OK, OK)
    const client = new RawClient(await gateTo(port)).send(head('GET / HTTP/1.0', 'Connection: Keep-Alive'))
    await client.seen('ok')
    client.send(head('GET / HTTP/1.0'))
    expect(await client.whole).toMatch(/Connection: keep-alive.*ok.*Connection: close.*ok$/s)
  })

  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'],
    ['in chunks', `${CHUNKED}4\r\nhalf\r\n`],
    ['in broken chunks', `${CHUNKED}4\r\nhalf\r\nzz\r\n0\r\n\r\n`],
    ['in chunks of the wrong size', `${CHUNKED}4\r\nhalf0\r\n\r\n`],
  ])('%s that is cut off is cut off for the client', async (_, answer) => {
    const { port } = await rawServer((__, socket) => void socket.end(answer))
    const world = await gateTo(port)
    const received = await sendRaw(world, get())
    expect(received).toContain('half')
    expect(received).not.toMatch(/\r\n0\r\n/)
    await world.recordOf(({ reason }) => reason === 'upstream_broken')
  })

  it.each([
    ['HEAD', `${CHUNKED}`],
    ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'],
    ['GET', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n'],
    ['GET', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ])('to %s without a body leaves both connections: %j', async (method, answer) => {
    const { port, received } = await answering(answer, OK)
    const whole = await sendRaw(await gateTo(port), head(`${method} / HTTP/1.1`) + get(CLOSE))
    expect(whole).toMatch(/^HTTP\/1\.1 [23]0[04] .*\r\n\r\nHTTP\/1\.1 200 OK\r\n.*ok$/s)
    expect(received).toHaveLength(1)
  })

  it('comes with interim ones, without what frames a body', async () => {
    const hint = 'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nContent-Length: 9\r\n\r\n'
    const { port } = await answering(`${hint}${OK}`)
    const answer = await sendRaw(await gateTo(port), get(CLOSE))
    expect(answer).toMatch(
      /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n/,
    )
  })
})
