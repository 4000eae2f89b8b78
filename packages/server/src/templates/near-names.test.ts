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

test('thousands of long names are compared in little processor time', () => {
  const names = Array.from({ length: 5_000 }, (_, i) => 'a'.repeat(120) + i)
  const before = process.cpuUsage()
  nearNames('a'.repeat(124), names)
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(400)
})
