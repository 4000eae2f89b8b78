import { describe, expect, it } from 'vitest'
import type { RawHeaders } from '../http/message.ts'
import { encodeHeaders, HpackDecoder } from './hpack.ts'

const block = (hex: string): Buffer => Buffer.from(hex.replace(/\s/g, ''), 'hex')
const decode = (decoder: HpackDecoder, hex: string): RawHeaders => decoder.decode(block(hex))

const REQUEST = [':method', 'GET', ':scheme', 'http', ':path', '/', ':authority', 'www.example.com']
const SECOND = [...REQUEST, 'cache-control', 'no-cache']
const THIRD = [
  ...[':method', 'GET', ':scheme', 'https', ':path', '/index.html', ':authority', 'www.example.com'],
  ...['custom-key', 'custom-value'],
]
const answer = (status: string, date: string, more: RawHeaders = []) => [
  ...[':status', status, 'cache-control', 'private', 'date', `Mon, 21 Oct 2013 20:13:${date} GMT`],
  ...['location', 'https://www.example.com', ...more],
]

/** RFC 7541, appendix C. */
describe('header blocks of RFC 7541', () => {
  it.each<[string, string, RawHeaders]>([
    [
      'C.2.1',
      '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
      ['custom-key', 'custom-header'],
    ],
    ['C.2.2', '040c 2f73 616d 706c 652f 7061 7468', [':path', '/sample/path']],
    ['C.2.3', '1008 7061 7373 776f 7264 0673 6563 7265 74', ['password', 'secret']],
    ['C.2.4', '82', [':method', 'GET']],
  ])('%s', (_, hex, headers) => {
    expect(decode(new HpackDecoder(), hex)).toEqual(headers)
  })

  it.each([
    [
      'C.3',
      '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '8286 84be 5808 6e6f 2d63 6163 6865',
      '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
    ],
    [
      'C.4',
      '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
      '8286 84be 5886 a8eb 1064 9cbf',
      '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
    ],
  ])('%s: requests on one connection', (_, first, second, third) => {
    const decoder = new HpackDecoder()
    expect(decode(decoder, first)).toEqual(REQUEST)
    expect(decode(decoder, second)).toEqual(SECOND)
    expect(decode(decoder, third)).toEqual(THIRD)
  })

  it.each([
    [
      'C.5',
      '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
      '4803 3330 37c1 c0bf',
    ],
    [
      'C.6',
      '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
      '4883 640e ffc1 c0bf',
    ],
  ])('%s: answers, with a table of 256 bytes that evicts', (_, first, second) => {
    const decoder = new HpackDecoder()
    // the size that the appendix takes as agreed: 256
    expect(decode(decoder, `3fe101${first}`)).toEqual(answer('302', '21'))
    expect(decode(decoder, second)).toEqual(answer('307', '21'))
    const third = decode(
      decoder,
      '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
    )
    expect(third).toEqual(
      answer('200', '22', [
        ...['content-encoding', 'gzip'],
        ...['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
      ]),
    )
    // 215 bytes of entries are left: the oldest of the three is the cache-control of neither block
    expect(decode(decoder, 'be')).toEqual(third.slice(-2))
    expect(() => decode(decoder, 'c1')).toThrow('no entry')
  })
})

describe('the decoder refuses', () => {
  it.each([
    ['the entry 0', '80', 'no entry 0'],
    ['an entry that does not exist', 'be', 'no entry 62'],
    ['a number without end', 'ffffffffffffffff7f', 'a number is too large'],
    ['a string beyond the block', '00 05 61', 'beyond its block'],
    ['a block that ends in a field', '40', 'too early'],
    ['a block that ends before a value', '00 01 61', 'too early'],
    ['a table larger than agreed', '3f e2 1f', 'too large'],
    ['a new size amid a block', '82 20', 'amid a block'],
    ['padding of zeros', '00 81 18 01 61', 'not Huffman'],
    ['padding of a whole byte', '00 82 1fff 01 61', 'not Huffman'],
    ['the end of a string in a string', '00 84 ffffffff 01 61', 'not Huffman'],
  ])('%s', (_, hex, message) => {
    expect(() => decode(new HpackDecoder(), hex)).toThrow(message)
  })

  it('a small block that stands for large headers', () => {
    const decoder = new HpackDecoder()
    decoder.decode(Buffer.concat([block('40 01 61 7f a1 1e'), Buffer.alloc(4_000, 'b')]))
    expect(() => decoder.decode(Buffer.alloc(1_000, 0xbe))).toThrow('larger than')
  })
})

describe('encodeHeaders', () => {
  it('is understood, and leaves the table of the decoder as it is', () => {
    const decoder = new HpackDecoder()
    decode(decoder, '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d')
    const headers = [':path', `/${'x'.repeat(20_000)}`, 'x-bytes', '\xff a', 'empty', '']
    expect(decoder.decode(encodeHeaders(headers))).toEqual(headers)
    expect(decode(decoder, 'be')).toEqual([':authority', 'www.example.com'])
  })

  it('begins with the size of the table', () => {
    expect(encodeHeaders([], 0).toString('hex')).toBe('20')
    expect(encodeHeaders([], 4_096).toString('hex')).toBe('3fe11f')
    const decoder = new HpackDecoder()
    decode(decoder, '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572')
    decoder.decode(encodeHeaders(['a', 'b'], 0))
    expect(() => decode(decoder, 'be')).toThrow('no entry')
  })
})
