import { expect, test } from 'vitest'
import { CodeOutput } from './collect.ts'

const result = (fields: object) => ({ type: 'result' as const, ...fields })

test('results keep their texts, values and pictures', () => {
  const output = new CodeOutput(1000)
  output.add({ type: 'stdout', text: 'printed\n' })
  output.add(result({ text: 'x', html: '<b>', png: 'aGk=\n', is_main_result: true, chart: { type: 'line' } }))
  output.add(result({ jpeg: 'aGk=', 'application/pdf': 'dropped' }))
  output.add({ type: 'error', name: 'ValueError', value: 'bad', traceback: 'line 1' })
  expect(output.text('stdout')).toBe('printed\n')
  expect(output.results).toEqual([
    { is_main: true, text: 'x', html: '<b>', chart: { type: 'line' }, picture: 1 },
    { picture: 2 },
  ])
  expect(output.pictures).toEqual([
    { data: 'aGk=', mimeType: 'image/png' },
    { data: 'aGk=', mimeType: 'image/jpeg' },
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
  for (let index = 0; index < 30; index++) output.add(result({ png: 'aGk=' }))
  expect([output.results.length, output.pictures.length]).toEqual([20, 5])
  expect(output.notes.join('\n')).toMatch(/data of a result was left out.*view_image.*first 20 results/s)
  expect(output.notes.length).toBeLessThan(20)
})
