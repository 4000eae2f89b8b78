import { expect, test } from 'vitest'
import { LineBuffer } from './line-buffer.ts'

const collect = () => {
  const lines: string[] = []
  return { lines, buffer: new LineBuffer((line, from) => lines.push(`${from} ${line}`)) }
}

test('output becomes lines, separately for each stream', () => {
  const { lines, buffer } = collect()
  buffer.add('he', 'stdout')
  buffer.add('warn\n', 'stderr')
  buffer.add('llo\r\nnext\n\nlast', 'stdout')
  buffer.end()
  expect(lines).toEqual(['stderr warn', 'stdout hello', 'stdout next', 'stdout last'])
})

test('a progress bar becomes lines, and an endless line is cut', () => {
  const { lines, buffer } = collect()
  buffer.add('10%\r20%\r', 'stdout')
  buffer.add('x'.repeat(5000), 'stdout')
  expect(lines.map((line) => line.length)).toEqual([
    'stdout 10%'.length,
    'stdout 20%'.length,
    'stdout '.length + 4000,
  ])
})

test('the newest lines are kept', () => {
  const { buffer } = collect()
  for (let i = 0; i < 500; i++) buffer.add(`${i}\n`, 'stdout')
  expect(buffer.last(2)).toBe('498\n499')
})
