import { expect, test } from 'vitest'
import { LogEntry, LogEntryEnd, LogEntryStart } from './log-entry.ts'

test.each([
  ['colours', '\u001b[1;31mred\u001b[0m', 'red'],
  ['an 8-bit introducer', '\u009b31mred', 'red'],
  ['a link', '\u001b]8;;http://x\u0007text\u001b]8;;\u001b\\', 'text'],
  ['cursor movements', 'a\u001b[2Kb\u001b[?25l\r\n', 'ab\r\n'],
  ['a character set', '\u001b(Bx', 'x'],
  ['nothing', 'a\tb [31m ü', 'a\tb [31m ü'],
])('control sequences are removed from the text: %s', (_, message, text) => {
  expect(new LogEntry(new Date(0), 'info', message).message).toBe(text)
})

test('an entry prints its time, level, and message', () => {
  expect(String(new LogEntry(new Date(0), 'warn', 'x'))).toBe('[1970-01-01T00:00:00.000Z] [warn] x')
})

test('start and end of a build are entries of level debug', () => {
  expect(new LogEntryStart(new Date(0), 'x')).toMatchObject({ level: 'debug', message: 'x' })
  expect(new LogEntryEnd(new Date(0), 'x')).toBeInstanceOf(LogEntry)
})
