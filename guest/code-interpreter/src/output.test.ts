import { expect, test } from 'vitest'
import { linesOf } from './output.ts'

const message = (msg_type: string, content: Record<string, unknown>) => ({
  header: { msg_id: '1', msg_type },
  parentId: '0',
  content,
})

test('known MIME types get the names of the SDK, others keep their own', () => {
  const data = {
    'text/plain': '<Figure>',
    'image/png': 'iVBO',
    'application/vnd.sandlot.chart+json': { type: 'bar' },
    'application/vnd.sandlot.data+json': { a: [1] },
    'application/geo+json': { type: 'Point' },
  }
  expect(linesOf(message('display_data', { data }))).toEqual([
    {
      type: 'result',
      is_main_result: false,
      text: '<Figure>',
      png: 'iVBO',
      chart: { type: 'bar' },
      data: { a: [1] },
      'application/geo+json': { type: 'Point' },
    },
  ])
})

test('only the value of the last expression is the main result', () => {
  const [main] = linesOf(message('execute_result', { data: { 'text/plain': '2' } }))
  expect(main).toMatchObject({ type: 'result', is_main_result: true, text: '2' })
})

test.each([
  [`'it'`, 'it'],
  ['"it\'s"', "it's"],
  [`"`, `"`],
  [`('a', 'b')`, `('a', 'b')`],
])('the text of %s is %s', (text, expected) => {
  const [line] = linesOf(message('execute_result', { data: { 'text/plain': text } }))
  expect(line).toMatchObject({ text: expected })
})

test('a result cannot imitate another kind of line', () => {
  const data = { type: 'error', is_main_result: true }
  expect(linesOf(message('display_data', { data }))).toEqual([{ type: 'result', is_main_result: false }])
})

test('long text is split into pieces without loss, and never within a character', () => {
  const text = `x${'😀'.repeat(300_000)}`
  const lines = linesOf(message('stream', { name: 'stdout', text })) as { text: string }[]
  expect(lines.length).toBe(3)
  expect(lines.map((line) => line.text).join('')).toBe(text)
  for (const line of lines) expect(line.text.isWellFormed()).toBe(true)
})

test('an error has its traceback as one text without colours', () => {
  const content = { ename: 'NameError', evalue: 'x', traceback: ['\u001b[31ma\u001b[0m', 'b'] }
  expect(linesOf(message('error', content))).toEqual([
    { type: 'error', name: 'NameError', value: 'x', traceback: 'a\nb' },
  ])
})

test('of a message or traceback that is too long, beginning and end are kept', () => {
  const long = `first${'x'.repeat(1_000_000)}last`
  const [line] = linesOf(message('error', { ename: 'E', evalue: long, traceback: [long] }))
  for (const text of [(line as { value: string }).value, (line as { traceback: string }).traceback]) {
    expect(text.length).toBeLessThan(263_000)
    expect(text).toMatch(/^first.*737865 characters were left out.*last$/s)
  }
})

test('a result above the limit is left out with a notice', () => {
  const [line] = linesOf(message('display_data', { data: { 'image/png': 'x'.repeat(33 * 1024 * 1024) } }))
  expect(line).toMatchObject({ type: 'stderr', text: expect.stringContaining('33554432') })
})
