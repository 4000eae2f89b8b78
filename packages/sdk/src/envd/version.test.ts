import { expect, test } from 'vitest'
import { isAtLeast } from './version.ts'

test.each([
  ['0.6.13', '0.6.4', true],
  ['0.6.4', '0.6.4', true],
  ['0.6.3', '0.6.4', false],
  ['0.10.0', '0.9.9', true],
  ['1.0.0', '0.9.9', true],
  ['0.6.4-dev', '0.6.4', true],
  ['0.6.4+build', '0.6.5', false],
  ['0.6', '0.6.0', true],
  ['', '0.1.0', false],
  ['nonsense', '0.1.0', false],
])('%s is at least %s: %s', (version, minimum, expected) => {
  expect(isAtLeast(version, minimum)).toBe(expected)
})
