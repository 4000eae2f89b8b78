import { describe, expect, it } from 'vitest'
import type { RawHeaders } from '../http/message.ts'
import { readBody } from './body-reader.ts'
import type { Framing } from './head.ts'
import { MalformedError } from './malformed.ts'

const CHUNKED: Framing = { kind: 'chunked' }

/** Reads bytes in pieces, each of which is overwritten when it was read, as the buffer of a connection is. */
function read(framing: Framing, text: string, pieceBytes = Math.max(1, text.length)) {
  let [data, passed, usedBytes] = ['', '', 0]
  let trailers: RawHeaders | undefined
  const body = readBody(framing, {
    data: (bytes) => {
      data += bytes.toString('latin1')
      passed += bytes.toString('latin1')
    },
    frame: (bytes) => {
      passed += bytes.toString('latin1')
    },
    end: (found) => {
      if (trailers) throw new Error('the body has ended twice')
      trailers = found
    },
  })
  const bytes = Buffer.from(text, 'latin1')
  for (let at = 0; at < bytes.length && !body.isEnded; at += pieceBytes) {
    const piece = Buffer.from(bytes.subarray(at, at + pieceBytes))
    usedBytes += body.push(piece)
    piece.fill('?')
  }
  return { body, data, passed, trailers, usedBytes }
}

describe('a chunked body', () => {
  const text = '5\r\nhello\r\n1B\r\nabcdefghijklmnopqrstuvwxyz\n\r\n0\r\nX-A: b\r\n\r\n'
  it.each([1, 2, 3, 4, 5, 8, 1000])('passes as it is in pieces of %i bytes', (pieceBytes) => {
    const { data, passed, trailers, usedBytes } = read(CHUNKED, `${text}GET / HTTP/1.1\r\n`, pieceBytes)
    expect(data).toBe('helloabcdefghijklmnopqrstuvwxyz\n')
    expect(passed.toLowerCase()).toBe(text.slice(0, text.indexOf('0\r\nX-A')).toLowerCase())
    expect(trailers).toEqual(['X-A', 'b'])
    expect(usedBytes).toBe(text.length)
  })

  it.each([
    ['extensions', '5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n', '5\r\nhello\r\n'],
    ['zeros before a size', '0000000005\r\nhello\r\n000\r\n\r\n', '5\r\nhello\r\n'],
  ])('is written anew without %s', (_, bytes, passed) => {
    for (const pieceBytes of [1, 4, 1000]) {
      const found = read(CHUNKED, bytes, pieceBytes)
      expect(found).toMatchObject({ data: 'hello', passed, trailers: [], usedBytes: bytes.length })
    }
  })

  it.each([
    ['a size that is no number', 'xyz\r\n'],
    ['no size', '\r\nhello'],
    ['a negative size', '-5\r\nhello\r\n'],
    ['a size with a plus', '+5\r\nhello\r\n'],
    ['a size with 0x', '0x5\r\nhello\r\n'],
    ['a blank before a size', ' 5\r\nhello\r\n'],
    ['a blank after a size', '5 \r\nhello\r\n'],
    ['an underscore in a size', '1_0\r\nhello\r\n'],
    ['a size beyond 32 bits', '100000000\r\nhello'],
    ['a size beyond counting', 'fffffffffffffffff\r\nhello'],
    ['a size after a bare line feed', '5\nhello\r\n'],
    ['a bare line feed in an extension', '1;\nx\r\n0\r\n\r\n'],
    ['a bare carriage return in an extension', '1;\rx\r\nx\r\n'],
    ['a null in an extension', '1;\0\r\nx\r\n'],
    ['an extension without end', `1;${'a'.repeat(2_000)}`],
    ['more data than its size', '5\r\nhello!\r\n'],
    ['less data than its size', '6\r\nhello\r\n0\r\n\r\n'],
    ['data that a bare line feed ends', '5\r\nhello\n0\r\n\r\n'],
    ['data that a bare carriage return ends', '5\r\nhello\r0\r\n\r\n'],
    ['a folded trailer', '0\r\nX: a\r\n b\r\n\r\n'],
    ['a trailer with a bare line feed', '0\r\nX: a\n\r\n'],
    ['a trailer without a name', '0\r\n: a\r\n\r\n'],
    ['trailers that are too large', `0\r\nX: ${'a'.repeat(70_000)}`],
  ])('is refused with %s, whole and byte by byte', (_, bytes) => {
    for (const pieceBytes of [bytes.length, 1])
      expect(() => read(CHUNKED, bytes, pieceBytes)).toThrow(MalformedError)
  })

  it('is not complete when its connection ends', () => {
    for (const bytes of ['', '5\r\nhel', '5\r\nhello\r\n', '0\r\n'])
      expect(read(CHUNKED, bytes).body.close()).toBe(false)
  })
})

describe('a body with a length', () => {
  it('takes no byte of what follows', () => {
    for (const pieceBytes of [1, 3, 100]) {
      const found = read({ kind: 'length', sizeBytes: 5 }, 'helloGET / HTTP/1.1', pieceBytes)
      expect(found).toMatchObject({ data: 'hello', passed: 'hello', trailers: [], usedBytes: 5 })
    }
  })

  it('is not complete when its connection ends before', () => {
    expect(read({ kind: 'length', sizeBytes: 5 }, 'hell').body.close()).toBe(false)
  })
})

it('a body that ends with its connection is complete then', () => {
  const { body, data } = read({ kind: 'close' }, 'hello', 2)
  expect(data).toBe('hello')
  expect(body.isEnded).toBe(false)
  expect(body.close()).toBe(true)
})
