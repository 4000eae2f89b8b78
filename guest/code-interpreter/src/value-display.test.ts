import { expect, test } from 'vitest'
import type { OutputLine } from './output.ts'
import { ValueDisplay } from './value-display.ts'

const shown = (text: string, more: object = {}): OutputLine => ({
  ...{ type: 'result', is_main_result: false, text },
  ...more,
})
const printed: OutputLine = { type: 'stdout', text: 'printed', timestamp: 0 }

function told(lines: OutputLine[], isWhole = true): OutputLine[] {
  const written: OutputLine[] = []
  const display = new ValueDisplay((line) => void written.push(line))
  for (const line of lines) display.write(line)
  display.end(isWhole)
  return written
}

test('the last value that is shown becomes the main result, and the order is kept', () => {
  expect(told([shown('1'), printed, shown('2')])).toEqual([
    shown('1'),
    printed,
    shown('2', { is_main_result: true }),
  ])
})

test.each([
  ['a value with later output', [shown('1'), printed]],
  ['a picture', [shown('plot', { png: 'iVBO' })]],
  ['nothing', []],
])('no main result comes from %s', (_, lines) => {
  expect(told(lines)).toEqual(lines)
})

test('code that failed has no value', () => {
  expect(told([shown('1')], false)).toEqual([shown('1')])
})
