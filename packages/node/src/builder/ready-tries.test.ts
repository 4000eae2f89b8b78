import { expect, test } from 'vitest'
import { ReadyTries } from './ready-tries.ts'

/** Reports failures every two seconds, for `seconds` or until there is a verdict. */
function verdictAfter(seconds: number, errors: (second: number) => string, more: object = {}) {
  let nowMs = 0
  const tries = new ReadyTries('check', () => nowMs)
  for (let second = 0; second <= seconds; second += 2) {
    nowMs = second * 1000
    const said = errors(second)
    const verdict = tries.verdictOn({ exitCode: 1, output: said, errors: said, isStarting: true, ...more })
    if (verdict) return { second, verdict }
  }
  return undefined
}

test('a missing command fails at once, with the message of the shell', () => {
  expect(verdictAfter(0, () => 'bash: check: command not found', { exitCode: 127 })?.verdict).toBe(
    "ready command 'check' cannot succeed: exit status 127\nbash: check: command not found",
  )
})

test('an error that is unchanged for a minute is final, even if numbers in it differ', () => {
  const found = verdictAfter(600, (second) => `cannot read /etc/x (${second} ms)`)
  expect(found?.second).toBe(60)
  expect(found?.verdict).toContain(
    'for 60 s it has ended with exit status 1 and the same error\ncannot read /etc/x (60 ms)',
  )
})

test('a command that prints nothing, or changing errors, is retried', () => {
  expect(verdictAfter(600, () => '')).toBeUndefined()
  expect(verdictAfter(600, (second) => (second % 40 === 0 ? 'loading' : 'starting'))).toBeUndefined()
})

test('an unavailable service is waited for only while the start command runs', () => {
  const curl = () => 'curl: (7) Failed to connect to localhost port 8000: Connection refused'
  expect(verdictAfter(600, curl)).toBeUndefined()
  expect(verdictAfter(600, curl, { isStarting: false })?.second).toBe(60)
})
