import { ALL_RANGES } from '@sandlot/protocol/node'
import { describe, expect, it } from 'vitest'
import { gateTo, RawClient, rawServer, sendRaw } from '../test-support/gate-world.ts'

const ONLY_EXAMPLE = { allowNames: ['example.com'], denyRanges: [ALL_RANGES] }
const HIDDEN = 'GET /hidden HTTP/1.1\r\nHost: evil.example\r\n\r\n'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const post = (...headers: string[]): string =>
  ['POST / HTTP/1.1', 'Host: example.com', ...headers, '', ''].join('\r\n')
const statusesOf = (answer: string): string[] =>
  [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => status!)

/** A server that reads lengths and chunks as it should, and answers each request. */
const server = () =>
  rawServer((received, socket) => {
    const answered = socket.bytesWritten / OK.length
    const requests = received.split(/(?=(?:GET|POST) \/)/)
    const isWhole = (request: string): boolean => {
      const end = request.indexOf('\r\n\r\n') + 4
      const length = /content-length: (\d+)/i.exec(request)?.[1]
      if (/transfer-encoding/i.test(request))
        return /(?:^|\r\n)0\r\n(?:.*\r\n)?\r\n$/.test(request.slice(end))
      return end > 3 && request.length - end >= Number(length ?? 0)
    }
    for (const request of requests.slice(answered)) if (isWhole(request)) socket.write(OK)
  })

describe('a request that hides another one', () => {
  it.each<[string, string, string[]]>([
    ['behind its length', `${post('Content-Length: 5')}hello${HIDDEN}`, ['200', '403']],
    ['behind its chunks', `${post('Transfer-Encoding: chunked')}0\r\n\r\n${HIDDEN}`, ['200', '403']],
    [
      'behind its trailers',
      `${post('Transfer-Encoding: chunked')}0\r\nX: a\r\n\r\n${HIDDEN}`,
      ['200', '403'],
    ],
    ['behind no body', `${post()}${HIDDEN}`, ['200', '403']],
    ['behind a length of zero', `${post('Content-Length: 0')}${HIDDEN}`, ['200', '403']],
    ['behind an empty line', `${post('Content-Length: 0')}\r\n\r\n${HIDDEN}`, ['200', '403']],
    [
      'by a length and chunks',
      `${post('Content-Length: 5', 'Transfer-Encoding: chunked')}0\r\n\r\n${HIDDEN}`,
      ['400'],
    ],
    [
      'by chunks and a length',
      `${post('Transfer-Encoding: chunked', `Content-Length: ${HIDDEN.length + 5}`)}0\r\n\r\n${HIDDEN}`,
      ['400'],
    ],
    ['by two lengths', `${post('Content-Length: 0', `Content-Length: ${HIDDEN.length}`)}${HIDDEN}`, ['400']],
    ['by a signed length', `${post('Content-Length: +0')}${HIDDEN}`, ['400']],
    ['by chunks that some servers see', `${post('Transfer-Encoding: xchunked')}0\r\n\r\n${HIDDEN}`, ['400']],
    ['by a folded header', `${post('X: a', ' Content-Length: 5')}hello${HIDDEN}`, ['400']],
    ['by a name with a blank', `${post('Content-Length : 5')}hello${HIDDEN}`, ['400']],
    ['by a bare line feed', `${post('X: a\nContent-Length: 5')}hello${HIDDEN}`, ['400']],
    ['by a bare carriage return', `${post('X: a\rContent-Length: 5')}hello${HIDDEN}`, ['400']],
    [
      'by naming its length a header of the connection',
      `${post('Connection: content-length', 'Content-Length: 5')}hello${HIDDEN}`,
      ['200', '403'],
    ],
    [
      'by naming its host a header of the connection',
      `${post('Connection: host, content-length', 'Content-Length: 5')}hello${HIDDEN}`,
      ['200', '403'],
    ],
  ])('%s does not reach the server', async (_, bytes, statuses) => {
    const { port, received } = await server()
    const world = await gateTo(port, ONLY_EXAMPLE)
    expect(statusesOf(await sendRaw(world, bytes))).toEqual(statuses)
    expect(received.join()).not.toContain('hidden')
    expect(received.join()).not.toContain('evil')
  })

  it.each([
    ['an extension with a line feed', `1;\nx\r\n0\r\n\r\n${HIDDEN}`],
    ['a size that is too small', `1\r\nab\r\n0\r\n\r\n${HIDDEN}`],
    ['a negative size', `-1\r\n${HIDDEN}`],
    ['a size beyond 64 bits', `10000000000000000\r\n${HIDDEN}`],
    ['a size that ends with a line feed', `0\n\n${HIDDEN}`],
  ])('by %s is cut, and its server sees no end', async (_, body) => {
    const { port, firstClosed } = await server()
    const world = await gateTo(port, ONLY_EXAMPLE)
    const client = new RawClient(world).send(post('Transfer-Encoding: chunked')).send(`2\r\nok\r\n${body}`)
    expect(statusesOf(await client.whole)).toEqual([])
    const received = await firstClosed
    expect(received).toMatch(/^POST \/ /)
    expect(received).not.toContain('hidden')
    expect(received).not.toMatch(/\r\n0\r\n/)
    const record = await world.recordOf(({ http }) => http?.method === 'POST')
    expect(record).toMatchObject({ verdict: 'failed', reason: 'client_aborted' })
  })

  it('cannot lend its end to the body of another one', async () => {
    const begun = Promise.withResolvers<void>()
    const { port, firstClosed, received } = await rawServer((bytes, socket) => {
      if (bytes.endsWith('short')) begun.resolve()
      else if (bytes.includes('Content-Length: 0')) socket.write(OK)
    })
    const world = await gateTo(port, ONLY_EXAMPLE)
    // the next request on the same connection to the server would complete the body
    const client = new RawClient(world).send(`${post('Content-Length: 100')}short`)
    await begun.promise
    client.socket.end()
    expect(await firstClosed).toMatch(/short$/)
    expect(statusesOf(await sendRaw(world, post('Content-Length: 0', 'Connection: close')))).toEqual(['200'])
    expect(received).toHaveLength(2)
  })
})
