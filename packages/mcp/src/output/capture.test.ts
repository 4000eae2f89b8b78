import { describe, expect, test } from 'vitest'
import { HeadAndTail, Transcript } from './capture.ts'
import { clipEnd, wholeCharacters } from './clip.ts'

const bytes = (text: string) => new TextEncoder().encode(text)
const marker = (left: number) => `[${left} left out]`

describe('HeadAndTail', () => {
  test('keeps a short stream as it is', () => {
    const capture = new HeadAndTail(100)
    for (const piece of ['one ', 'two ', 'three']) capture.add(bytes(piece))
    expect([capture.text(marker), capture.isCut, capture.sizeBytes]).toEqual(['one two three', false, 13])
  })

  test('keeps a quarter of the beginning and the end of a long one, however it is divided', () => {
    const text = Array.from({ length: 1000 }, (_, index) => String(index % 10)).join('')
    for (const step of [1, 7, 1000]) {
      const capture = new HeadAndTail(40)
      for (let at = 0; at < text.length; at += step) capture.add(bytes(text.slice(at, at + step)))
      expect(capture.text(marker)).toBe('0123456789\n[960 left out]\n012345678901234567890123456789')
      expect([capture.isCut, capture.sizeBytes]).toEqual([true, 1000])
    }
  })

  test('cuts no character in two', () => {
    const capture = new HeadAndTail(20)
    capture.add(bytes('€'.repeat(100)))
    expect(capture.text(marker)).toBe('€\n[282 left out]\n€€€€€')
  })

  test('joins bytes of one character that arrive apart', () => {
    const capture = new HeadAndTail(20)
    for (const byte of bytes('a€b')) capture.add(Uint8Array.of(byte))
    expect(capture.text(marker)).toBe('a€b')
  })
})

test('a transcript keeps the first bytes of all streams, and says whether these are all', () => {
  const transcript = new Transcript(5)
  transcript.add(bytes('abc'))
  expect(transcript.isComplete).toBe(true)
  transcript.add(bytes('def'))
  transcript.add(bytes('g'))
  expect(new TextDecoder().decode(transcript.bytes())).toBe('abcde')
  expect([transcript.sizeBytes, transcript.isComplete]).toEqual([7, false])
})

test.each([
  ['abc', 3],
  ['a€', 4],
  ['', 0],
])('all bytes of %j are whole characters', (text, count) => {
  expect(wholeCharacters(bytes(text))).toBe(count)
})

test('an unfinished character at the end does not count', () => {
  expect(wholeCharacters(bytes('ab€').subarray(0, 4))).toBe(2)
  expect(wholeCharacters(bytes('ab😀').subarray(0, 5))).toBe(2)
  expect(wholeCharacters(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80))).toBe(5)
})

test('the end of a text is cut outside of a surrogate pair', () => {
  expect(clipEnd('ab😀', 3, '[cut]')).toEqual({ text: 'ab\n[cut]', isCut: true })
  expect(clipEnd('ab😀', 4)).toEqual({ text: 'ab😀', isCut: false })
})
