import { expect, test } from 'vitest'
import { LineBuffer } from './line-buffer.ts'

const add = (buffer: LineBuffer, ...pieces: string[]) => pieces.map((piece) => buffer.add(Buffer.from(piece)))

test('joins the pieces of a line, also of one that is cut within a character', () => {
  const buffer = new LineBuffer(100)
  expect(add(buffer, 'a', 'b\nc\n\nd', '\n')).toEqual([[], ['ab', 'c', ''], ['d']])
  const [first, second] = [Buffer.from('é\n').subarray(0, 1), Buffer.from('é\n').subarray(1)]
  expect([buffer.add(first), buffer.add(second)]).toEqual([[], ['é']])
})

test('refuses a line that is too long, however it comes', () => {
  expect(() => add(new LineBuffer(3), 'abcd')).toThrow('exceeded 3 bytes')
  expect(() => add(new LineBuffer(3), 'ab', 'cd\n')).toThrow('exceeded 3 bytes')
  expect(add(new LineBuffer(3), 'abc\nabc')).toEqual([['abc']])
})
