import { expect, test } from 'vitest'
import { fitting } from './files.ts'

const entries = (count: number, length: number) =>
  Array.from({ length: count }, () => ({ path: 'x'.repeat(length) }))

test.each([
  [0, 10, 0],
  [1_000, 10, 1_000],
  [1_001, 10, 1_000],
  [900, 4_000, 50],
])('%i entries with paths of %i characters: %i fit', (count, length, fits) => {
  expect(fitting(entries(count, length))).toHaveLength(fits)
})
