import { expect, test } from 'vitest'
import { slowestFiles } from './slow-files.ts'

test('the slowest files of all suites are listed, slowest first', () => {
  const times = [
    { seconds: 1, suite: 'unit', file: 'a.test.ts' },
    { seconds: 120.04, suite: 'chaos', file: 'b.test.ts' },
    { seconds: 3.25, suite: 'unit', file: 'c.test.ts' },
  ]
  expect(slowestFiles(times, 2).split('\n')).toEqual([
    '   120.0 s  chaos        b.test.ts',
    '     3.3 s  unit         c.test.ts',
  ])
})
