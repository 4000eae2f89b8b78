import { expect, test } from 'vitest'
import { localPath, nameOf } from './file-names.ts'

test('names that are not UTF-8 become text, and bytes again', () => {
  for (const bytes of [[0x61, 0xff], [0xc3], [0xc3, 0xa4, 0x80, 0xf0, 0x9f, 0x9b, 0xa0, 0xe2, 0x82]]) {
    const name = nameOf(Buffer.from(bytes))
    expect(localPath(name)).toEqual(Buffer.from(bytes))
  }
  expect(nameOf(Buffer.from([0xc3, 0xa4, 0x80]))).toBe('\u00e4\udc80')
})

test('other names stay as they are', () => {
  for (const name of ['a b', '\u00e4\u{1f6e0}\n', '\ufffd', 'a\\b'])
    expect([nameOf(Buffer.from(name)), localPath(name)]).toEqual([name, name])
})
