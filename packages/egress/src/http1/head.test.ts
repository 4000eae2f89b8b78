import { describe, expect, it } from 'vitest'
import { MAX_HEADER_BYTES } from '../http/message.ts'
import { formatHeaders, parseAnswer, parseRequest } from './head.ts'
import { HeadReader } from './head-reader.ts'
import { MalformedError } from './malformed.ts'

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Reads a request as a connection does: bytes in pieces of a size. */
function readRequest(text: string, pieceBytes = text.length) {
  const reader = new HeadReader()
  const bytes = latin1(text)
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const found = reader.push(bytes.subarray(at, at + pieceBytes))
    if (found) return { request: parseRequest(found.text), usedBytes: at + found.takenBytes }
  }
  return undefined
}

const get = (...lines: string[]): string => ['GET / HTTP/1.1', ...lines, '', ''].join('\r\n')
const post = (...lines: string[]): string => ['POST / HTTP/1.1', 'Host: a', ...lines, '', ''].join('\r\n')

describe('the head of a request', () => {
  it.each([1, 2, 3, 7, 1000])('is the same in pieces of %i bytes', (pieceBytes) => {
    const head = 'PUT /a?b HTTP/1.1\r\nHost: x\r\nX-A: \t b\xe4 c \t\r\nx-a:\r\nContent-Length: 12\r\n\r\n'
    const found = readRequest(`${head}GET `, pieceBytes)
    expect(found?.usedBytes).toBe(head.length)
    expect(found?.request).toEqual({
      ...{ method: 'PUT', target: '/a?b', minor: 1 },
      headers: ['Host', 'x', 'X-A', 'b\xe4 c', 'x-a', '', 'Content-Length', '12'],
      framing: { kind: 'length', sizeBytes: 12 },
    })
  })

  it.each<[string, string, unknown]>([
    ['no body', get(), { kind: 'none' }],
    ['a body of nothing', post('Content-Length: 0'), { kind: 'none' }],
    ['chunks', post('transfer-encoding: CHUNKED'), { kind: 'chunked' }],
    ['a length with zeros', post('Content-Length: 007'), { kind: 'length', sizeBytes: 7 }],
  ])('with %s', (_, text, framing) => {
    expect(readRequest(text)?.request.framing).toEqual(framing)
  })

  it.each<[string, string]>([
    ['a bare line feed', 'GET / HTTP/1.1\nHost: a\n\n'],
    ['a bare line feed after a header', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n'],
    ['a bare line feed as its first byte', '\nGET / HTTP/1.1\r\n\r\n'],
    ['a bare carriage return in a value', get('X: a\rHost: b')],
    ['a bare carriage return before a line end', get('X: a\r')],
    ['a folded header', get('X: a', ' b')],
    ['a folded header with a tab', get('X: a', '\tb: c')],
    ['a blank before a colon', get('Host : a')],
    ['a blank before the first header', get(' Host: a')],
    ['a header without a colon', get('Host')],
    ['a header without a name', get(': a')],
    ['a name in quotes', get('"Host": a')],
    ['a name with a byte above ASCII', get('H\xf6st: a')],
    ['a null in a value', get('X: a\0b')],
    ['a null in a name', get('X\0: a')],
    ['an escape in a value', get('X: \x1b[2J')],
    ['a deletion in a value', get('X: \x7f')],
    ['two blanks in the first line', get().replace(' ', '  ')],
    ['a tab in the first line', get().replace(' ', '\t')],
    ['a blank in the target', get().replace('/', '/a b')],
    ['a null in the target', get().replace('/', '/a\0b')],
    ['no target', get().replace('/ ', '')],
    ['a blank after the version', get().replace('1.1', '1.1 ')],
    ['version 0.9', 'GET /\r\n\r\n'],
    ['version 1.2', get().replace('1.1', '1.2')],
    ['version 2.0', 'PRI * HTTP/2.0\r\n\r\n'],
    ['version 11', get().replace('1.1', '1.11')],
    ['a version in lower case', get().replace('HTTP', 'http')],
    ['a method in lower case', get().replace('GET', 'get')],
    ['a method that nobody knows', get().replace('GET', 'GETS')],
    ['a method of an object', get().replace('GET', '__proto__')],
    ['a length and chunks', post('Content-Length: 1', 'Transfer-Encoding: chunked')],
    ['chunks and a length', post('Transfer-Encoding: chunked', 'Content-Length: 0')],
    ['two lengths', post('Content-Length: 1', 'content-length: 2')],
    ['two equal lengths', post('Content-Length: 1', 'Content-Length: 1')],
    ['two lengths in one line', post('Content-Length: 1, 1')],
    ['a negative length', post('Content-Length: -1')],
    ['a length with a plus', post('Content-Length: +1')],
    ['a length in hex', post('Content-Length: 0x10')],
    ['a length with a point', post('Content-Length: 1.0')],
    ['a length with an exponent', post('Content-Length: 1e3')],
    ['a length with a blank', post('Content-Length: 1 0')],
    ['an empty length', post('Content-Length:')],
    ['a length beyond counting', post(`Content-Length: ${2n ** 64n}`)],
    ['a length in other digits', post('Content-Length: \xb2')],
    ['chunks twice', post('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['chunks twice in one line', post('Transfer-Encoding: chunked, chunked')],
    ['chunks that are hidden', post('Transfer-Encoding: xchunked')],
    ['chunks after a tab of another kind', post('Transfer-Encoding: \x0bchunked')],
    ['chunks in quotes', post('Transfer-Encoding: "chunked"')],
    ['chunks with a parameter', post('Transfer-Encoding: chunked;q=1')],
    ['chunks that are compressed', post('Transfer-Encoding: gzip, chunked')],
    ['another encoding', post('Transfer-Encoding: identity')],
    ['an empty encoding', post('Transfer-Encoding:')],
    ['chunks and another encoding', post('Transfer-Encoding: chunked', 'Transfer-Encoding: identity')],
    ['chunks in HTTP/1.0', post('Transfer-Encoding: chunked').replace('1.1', '1.0')],
  ])('is refused with %s, whole and byte by byte', (_, text) => {
    for (const pieceBytes of [text.length, 1])
      expect(() => readRequest(text, pieceBytes)).toThrow(MalformedError)
  })

  it('may be as large as its limit, and no larger', () => {
    const frame = get('X: ').length
    expect(readRequest(get(`X: ${'a'.repeat(MAX_HEADER_BYTES - frame)}`))).toBeDefined()
    for (const pieceBytes of [100_000, 999]) {
      const larger = get(`X: ${'a'.repeat(MAX_HEADER_BYTES - frame + 1)}`)
      expect(() => readRequest(larger, pieceBytes)).toThrow(expect.objectContaining({ status: 431 }))
      const endless = `GET / HTTP/1.1\r\nX: ${'a'.repeat(MAX_HEADER_BYTES)}`
      expect(() => readRequest(endless, pieceBytes)).toThrow(expect.objectContaining({ status: 431 }))
    }
  })

  it('is read in time that grows with its size alone', () => {
    const blanks = `a${' '.repeat(30_000)}b`
    const { request } = readRequest(get(`X: ${blanks}`, `Y: ${blanks}`), 1)!
    expect(request.headers).toEqual(['X', blanks, 'Y', blanks])
  })
})

describe('the head of an answer', () => {
  const answer = (first: string, ...lines: string[]): string => [first, ...lines, '', ''].join('\r\n')
  it.each<[string, string, string, unknown]>([
    ['ends with its connection', 'GET', answer('HTTP/1.1 200 OK'), { kind: 'close' }],
    ['has a length', 'GET', answer('HTTP/1.0 200', 'Content-Length: 5'), { kind: 'length', sizeBytes: 5 }],
    ['has chunks', 'GET', answer('HTTP/1.1 200 ', 'Transfer-Encoding: chunked'), { kind: 'chunked' }],
    ['is empty', 'GET', answer('HTTP/1.1 200 OK', 'Content-Length: 0'), { kind: 'none' }],
    ['answers HEAD', 'HEAD', answer('HTTP/1.1 200 OK', 'Content-Length: 5'), { kind: 'none' }],
    ['is 204', 'GET', answer('HTTP/1.1 204 No', 'Content-Length: 5'), { kind: 'none' }],
    ['is 304', 'GET', answer('HTTP/1.1 304 No', 'Transfer-Encoding: chunked'), { kind: 'none' }],
    ['is interim', 'GET', answer('HTTP/1.1 103 Hints', 'Content-Length: 5'), { kind: 'none' }],
  ])('that %s', (_, method, text, framing) => {
    expect(parseAnswer(text, method).framing).toEqual(framing)
  })

  it.each<[string, string]>([
    ['two digits', answer('HTTP/1.1 20 OK')],
    ['a status of zero', answer('HTTP/1.1 000 OK')],
    ['four digits', answer('HTTP/1.1 2000 OK')],
    ['another protocol', answer('SSH-2.0-OpenSSH')],
    ['version 2', answer('HTTP/2.0 200 OK')],
    ['two lengths', answer('HTTP/1.1 200 OK', 'Content-Length: 1', 'Content-Length: 1')],
    ['a length and chunks', answer('HTTP/1.1 200 OK', 'Content-Length: 1', 'Transfer-Encoding: chunked')],
    ['a folded header', answer('HTTP/1.1 200 OK', 'X: a', ' b')],
    ['a null', answer('HTTP/1.1 200 OK', 'X: \0')],
  ])('is refused with %s', (_, text) => {
    expect(() => parseAnswer(text, 'GET')).toThrow(MalformedError)
  })

  it('passes a reason that a client can read, and no other', () => {
    expect(parseAnswer(answer('HTTP/1.1 200 \xe4 b'), 'GET').reason).toBe('\xe4 b')
    expect(parseAnswer(answer('HTTP/1.1 200 a\x01b'), 'GET').reason).toBe('')
  })
})

it.each([
  ['X', 'a\r\nY: b'],
  ['X\r\nY', 'a'],
  ['X', 'a\nb'],
  ['X: Y', 'a'],
  ['', 'a'],
  ['X', '\u20ac'],
])('no header %j: %j is written', (name, value) => {
  expect(() => formatHeaders([name, value])).toThrow(MalformedError)
})
