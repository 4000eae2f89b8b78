import { expect, test } from 'vitest'
import { ReadyTries } from './ready-tries.ts'

/** Fails every two seconds for so long, or until there is a verdict. */
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

test('a command that is not there ends it at once, in the words of the shell', () => {
  expect(verdictAfter(0, () => 'bash: check: command not found', { exitCode: 127 })?.verdict).toBe(
    "ready command 'check' cannot succeed: exit status 127\nbash: check: command not found",
  )
})

test('the same error for a minute ends it, also with another number in it', () => {
  const found = verdictAfter(600, (second) => `cannot read /etc/x (${second} ms)`)
  expect(found?.second).toBe(60)
  expect(found?.verdict).toContain(
    'for 60 s it has ended with exit status 1 and the same error\ncannot read /etc/x (60 ms)',
  )
})

test('whoever says nothing, or something else now and then, waits', () => {
  expect(verdictAfter(600, () => '')).toBeUndefined()
  expect(verdictAfter(600, (second) => (second % 40 === 0 ? 'loading' : 'starting'))).toBeUndefined()
})

test('a service that is not up yet is waited for while the start command runs, and not without one', () => {
  const curl = () => 'curl: (7) Failed to connect to localhost port 8000: Connection refused'
  expect(verdictAfter(600, curl)).toBeUndefined()
  expect(verdictAfter(600, curl, { isStarting: false })?.second).toBe(60)
})
