import { expect, test } from 'vitest'
import { countGoTests, countVitestTests, failedVitestTests } from './outcomes.ts'

const events = (...list: object[]) => list.map((event) => JSON.stringify(event)).join('\n')

test("vitest's own counts are used", () => {
  const json = '{"numPassedTests": 7, "numFailedTests": 2, "numPendingTests": 1, "numTodoTests": 1}'
  expect(countVitestTests(json, 1)).toEqual({ passed: 7, failed: 2, skipped: 2 })
})

test('a runner that failed without a failed test counts as one failure', () => {
  expect(countVitestTests('{"numPassedTests": 7, "numFailedTests": 0}', 1).failed).toBe(1)
  expect(countVitestTests('', 1)).toEqual({ passed: 0, failed: 1, skipped: 0 })
})

test('failed tests are named with their first line, and files that failed outside of a test', () => {
  const failed = {
    status: 'failed',
    fullName: 'a file is copied',
    failureMessages: ['AssertionError: expected 1 to be 2\n    at copy.test.ts:3'],
  }
  const passed = { status: 'passed', fullName: 'a file is moved', failureMessages: [] }
  const json = JSON.stringify({
    testResults: [
      { name: '/a/copy.test.ts', status: 'failed', message: '', assertionResults: [passed, failed] },
      { name: '/a/hook.test.ts', status: 'failed', message: 'Error: no server\n at x', assertionResults: [] },
      { name: '/a/move.test.ts', status: 'passed', message: '', assertionResults: [passed] },
    ],
  })
  expect(failedVitestTests(json)).toEqual([
    'a file is copied: AssertionError: expected 1 to be 2',
    '/a/hook.test.ts: Error: no server',
  ])
  expect(failedVitestTests('')).toEqual([])
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
