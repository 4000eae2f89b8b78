import { expect, test } from 'vitest'
import { nearNames } from './near-names.ts'

test.each([
  ['base', ['base']],
  ['Basse', ['base']],
  ['bs', ['base']],
  ['abse', ['base']],
  ['', []],
  ['b', []],
  ['basement', []],
  ['esab', []],
])('for %j there is near %j', (wanted, near) => expect(nearNames(wanted, ['base', 'desktop'])).toEqual(near))

test('thousands of long names are compared quickly', () => {
  const names = Array.from({ length: 5_000 }, (_, i) => 'a'.repeat(120) + i)
  const start = performance.now()
  nearNames('a'.repeat(124), names)
  expect(performance.now() - start).toBeLessThan(400)
})
