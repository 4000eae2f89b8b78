import { expect, test } from 'vitest'
import { lastError } from './runsc-log.ts'

const trace =
  'goroutine 7 [running]:\ngvisor.dev/gvisor/pkg/state.safely.func1()\n\t/root/go/state.go:309 +0x19e'
const logged = (msg: string) => JSON.stringify({ msg, level: 'error', time: '2026-11-30T18:31:22Z' })

test.each<[string, string, string]>([
  ['no line is said so', '', 'runsc logged no error'],
  [
    'lines about the course are left out',
    'I1130 18:31:22 boot.go:1] starting\nD1130 details\nW1130 bad',
    'W1130 bad',
  ],
  ['the last three are kept', 'W1\nW2\nW3\nW4\n', 'W2 | W3 | W4'],
  [
    'the trace of a panic is left out',
    `W1\n${logged(`encoding error: "tun" cannot be saved:\n${trace}`)}\n`,
    'encoding error: "tun" cannot be saved',
  ],
  ['only the last failure counts', `${logged(`first\n${trace}`)}${logged('second')}`, 'second'],
  ['a line that only looks like JSON is kept', '{oops', '{oops'],
])('%s', (_, log, expected) => {
  expect(lastError(log)).toBe(expected)
})
