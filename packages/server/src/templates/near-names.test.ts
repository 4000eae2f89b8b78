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
])('near %j are %j', (wanted, near) => expect(nearNames(wanted, ['base', 'desktop'])).toEqual(near))

test('thousands of long names are compared in little processor time', () => {
  const names = Array.from({ length: 5_000 }, (_, i) => 'a'.repeat(120) + i)
  // processor time, because other programs on the machine do not affect it
  const before = process.threadCpuUsage()
  nearNames('a'.repeat(124), names)
  const { user, system } = process.threadCpuUsage(before)
  expect((user + system) / 1000).toBeLessThan(400)
})
