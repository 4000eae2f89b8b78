import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { buildLogger } from './default-build-logger.ts'
import { LogEntry, LogEntryEnd, type LogEntryLevel, LogEntryStart } from './log-entry.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

const at = new Date(2026, 0, 1, 13, 4, 5)
const entry = (level: LogEntryLevel, message: string) => new LogEntry(at, level, message)

function output(isTerminal: boolean) {
  const written: string[] = []
  return {
    written,
    writeLine: (line: string) => void written.push(`${line}\n`),
    rewrite: isTerminal ? (text: string) => void written.push(text) : undefined,
    hasColours: isTerminal,
  }
}

test('in a pipe each entry of at least the minimum level is one plain line', () => {
  const pipe = output(false)
  const log = buildLogger(pipe, 'info', Date.now)
  log(new LogEntryStart(at, 'start'))
  vi.advanceTimersByTime(1_250)
  log(entry('debug', 'hidden'))
  log(entry('info', '[1/2] RUN x\n'))
  log(entry('error', 'broken'))
  log(new LogEntryEnd(at, 'end'))
  expect(pipe.written).toEqual(['1.3s  | 13:04:05 INFO  [1/2] RUN x\n', '1.3s  | 13:04:05 ERROR broken\n'])
})

test('a terminal shows a clock, which is erased for each entry and at the end', () => {
  const terminal = output(true)
  const log = buildLogger(terminal, 'debug', Date.now)
  log(new LogEntryStart(at, 'start'))
  vi.advanceTimersByTime(200)
  expect(terminal.written.at(-1)).toBe('\r\u001b[2K⠹ Building 0.2s')
  log(entry('warn', 'careful'))
  expect(terminal.written.slice(-3)).toEqual([
    '\r\u001b[2K',
    '0.2s  | \u001b[2m13:04:05\u001b[0m \u001b[33mWARN \u001b[0m careful\n',
    '\r\u001b[2K⠸ Building 0.2s',
  ])
  log(new LogEntryEnd(at, 'end'))
  expect(terminal.written.at(-1)).toBe('\r\u001b[2K')
  expect(vi.getTimerCount()).toBe(0)
})
