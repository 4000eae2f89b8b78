import { expect, test } from 'vitest'
import { passableTrailers } from './http-headers.ts'

test('trailers that frame or route a message, or that no header may be, are dropped', () => {
  const raw = [
    ...[
      'X-Checksum',
      'abc',
      'Connection',
      'close',
      'TE',
      'trailers',
      'Content-Length',
      '3',
      'Host',
      'a',
      'Trailer',
      'b',
    ],
    ...['a name', 'x', '', 'x', 'X-Line', 'a\nb', 'X-Null', 'a\0b', 'Server-Timing', ''],
  ]
  expect(passableTrailers(raw)).toEqual(['X-Checksum', 'abc', 'Server-Timing', ''])
})
