import { expect, test } from 'vitest'
import { CodeOutput } from './collect.ts'

const PNG = 'iVBORw0KGgo='
const JPEG = '/9j/4A=='
const result = (fields: object) => ({ type: 'result' as const, ...fields })

test('results keep their texts, values and pictures', () => {
  const output = new CodeOutput(1000)
  output.add({ type: 'stdout', text: 'printed\n' })
  output.add(
    result({ text: 'x', html: '<b>', png: `${PNG}\n`, is_main_result: true, chart: { type: 'line' } }),
  )
  output.add(result({ jpeg: JPEG, 'application/pdf': 'dropped' }))
  output.add({ type: 'error', name: 'ValueError', value: 'bad', traceback: 'line 1' })
  expect(output.text('stdout')).toBe('printed\n')
  expect(output.results).toEqual([
    { is_main: true, text: 'x', html: '<b>', chart: { type: 'line' }, picture: 1 },
    { picture: 2 },
  ])
  expect(output.pictures).toEqual([
    { data: PNG, mimeType: 'image/png' },
    { data: JPEG, mimeType: 'image/jpeg' },
  ])
  expect([output.error, output.notes]).toEqual([
    { name: 'ValueError', value: 'bad', traceback: 'line 1' },
    [],
  ])
})

test('what is too much is left out, and said', () => {
  const output = new CodeOutput(1000)
  output.add(result({ text: 'x'.repeat(10_000), data: { a: Array(9_000).fill(1) } }))
  expect(String(output.results[0]!.text)).toHaveLength(8_000 + '\n[… cut …]'.length)
  output.add(result({ png: 'x'.repeat(5 * 1024 * 1024) }))
  for (let index = 0; index < 30; index++) output.add(result({ png: PNG }))
  expect([output.results.length, output.pictures.length]).toEqual([20, 5])
  expect(output.notes.join('\n')).toMatch(/data of a result was left out.*view_image.*first 20 results/s)
  expect(output.notes.length).toBeLessThan(20)
})

test('what is no picture is not shown as one', () => {
  const output = new CodeOutput(1000)
  output.add(result({ text: 'x', png: 'aGk=' }))
  expect([output.results, output.pictures]).toEqual([[{ text: 'x' }], []])
  expect(output.notes).toEqual(['a picture was left out: its data is not image/png in base64'])
})
