import { expect, onTestFinished, test } from 'vitest'
import { Progress } from './progress.ts'

test.each([
  ['one\ntwo\n\n', 'two'],
  ['\x1b[31mred\x1b[0m\x07\r\n', 'red'],
  ['x'.repeat(6_000_000), 'x'.repeat(200)],
  ['\x1b]0;title\x07', undefined],
])('a report of %.20j shows little of it, and no control characters', (output, message) => {
  const sent: string[] = []
  const progress = new Progress((report) => sent.push(report.message))
  onTestFinished(() => progress.end())
  progress.report(output)
  expect(sent[0]).toBe(message)
})
