import { expect, test } from 'vitest'
import { decodePath, encodePath } from './path-bytes.ts'

const base64 = (...bytes: number[]) => Buffer.from(bytes).toString('base64')

test('bytes that are not UTF-8 survive, and all other text is as it was', () => {
  const bytes = [0x2f, 0xff, 0x61, 0xc3, 0xa4, 0xe2, 0x82, 0xf0, 0x9f, 0x9b, 0xa0, 0xc3]
  const path = decodePath(base64(...bytes))
  expect(path).toBe('/\udcffa\u00e4\udce2\udc82\u{1f6e0}\udcc3')
  expect(encodePath(path)).toBe('%2F%FFa%C3%A4%E2%82%F0%9F%9B%A0%C3')
})

test.each(['/a b', '/\u00e4\u{1f6e0}', '/a\nb', ''])(
  'a path of text is encoded as by the platform: %j',
  (path) => {
    expect(encodePath(path)).toBe(encodeURIComponent(path))
    expect(decodePath(Buffer.from(path).toString('base64'))).toBe(path)
  },
)
