import { expect, test } from 'vitest'
import { rangeIn } from './byte-range.ts'
import { pathIn } from './raw-query.ts'

test.each([
  ['/x?path=/a%20b&depth=2', '/a b'],
  ['/x?depth=2&path=%2Fa+b', '/a b'],
  ['/x?path=', ''],
  ['/x?path=/%E2%82%AC%2B', '/€+'],
])('%s has the path %s', (url, path) => {
  expect(pathIn(url).toString()).toBe(path)
})

test('bytes that are not UTF-8 stay', () => {
  expect(pathIn('/x?path=/%ff%fe')).toEqual(Buffer.from([0x2f, 0xff, 0xfe]))
})

test.each(['/x', '/x?depth=1', '/x?path=%zz', '/x?path=%f'])('%s is refused', (url) => {
  expect(() => pathIn(url)).toThrow('path is')
})

test.each([
  [undefined, undefined],
  ['bytes=0-', { start: 0, end: 9 }],
  ['bytes=2-5', { start: 2, end: 5 }],
  ['bytes=2-50', { start: 2, end: 9 }],
  ['bytes=-3', { start: 7, end: 9 }],
  ['bytes=-50', { start: 0, end: 9 }],
  ['bytes=10-', 'outside'],
  ['bytes=-0', 'outside'],
  ['bytes=5-2', undefined],
  ['bytes=-', undefined],
  ['bytes=0-1,3-4', undefined],
  ['lines=0-1', undefined],
])('Range %s of ten bytes', (header, range) => {
  expect(rangeIn(header, 10)).toEqual(range)
})
