import { expect, test } from 'vitest'
import { countGoTests, countVitestTests } from './outcomes.ts'

const events = (...list: object[]) => list.map((event) => JSON.stringify(event)).join('\n')

test("vitest's own counts are used", () => {
  const json = '{"numPassedTests": 7, "numFailedTests": 2, "numPendingTests": 1, "numTodoTests": 1}'
  expect(countVitestTests(json, 1)).toEqual({ passed: 7, failed: 2, skipped: 2 })
})

test('a runner that failed without a failed test counts as one failure', () => {
  expect(countVitestTests('{"numPassedTests": 7, "numFailedTests": 0}', 1).failed).toBe(1)
  expect(countVitestTests('', 1)).toEqual({ passed: 0, failed: 1, skipped: 0 })
})

test('Go tests are counted, packages are not', () => {
  const output = events(
    { Action: 'pass', Package: 'envd', Test: 'TestA' },
    { Action: 'output', Package: 'envd', Test: 'TestB', Output: 'want 1, got 2\n' },
    { Action: 'fail', Package: 'envd', Test: 'TestB' },
    { Action: 'skip', Package: 'envd', Test: 'TestC' },
    { Action: 'fail', Package: 'envd' },
  )
  const { outcome, failures } = countGoTests(output, 1)
  expect(outcome).toEqual({ passed: 1, failed: 1, skipped: 1 })
  expect(failures).toContain('want 1, got 2')
})

test('a Go package that does not build is one failure with the message of the compiler', () => {
  const output = `${events({ Action: 'build-output', Output: 'x.go:1: undefined: y\n' }, { Action: 'build-fail' })}\n`
  const { outcome, failures } = countGoTests(output, 1)
  expect(outcome.failed).toBe(1)
  expect(failures).toContain('undefined: y')
})
