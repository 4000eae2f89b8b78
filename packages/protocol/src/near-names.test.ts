import { expect, test } from 'vitest'
import { editDistance, nearest } from './near-names.ts'

test.each([
  ['', '', 0],
  ['kitten', 'sitting', 3],
  ['flaw', 'lawn', 2],
  ['abc', 'abc', 0],
  ['', 'abc', 3],
])('the distance from "%s" to "%s" is %i', (a, b, distance) => {
  expect(editDistance(a, b, 10)).toBe(distance)
  expect(editDistance(b, a, distance)).toBe(distance)
})

test('a distance beyond the limit is reported as the limit plus one', () => {
  expect(editDistance('kitten', 'sitting', 2)).toBe(3)
  expect(editDistance('a', 'a long name', 2)).toBe(3)
})

test('the nearest word is found regardless of case, and no word is found when all differ too much', () => {
  expect(nearest('Opencdoe', ['claude', 'opencode', 'codex'])).toBe('opencode')
  expect(nearest('port', ['listen', 'home'])).toBeUndefined()
})
