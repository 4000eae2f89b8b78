import { expect, test } from 'vitest'
import { callerTrace, directoryOf } from './caller-trace.ts'

function entrance(): string | undefined {
  return inner()
}

const inner = () => callerTrace(entrance)

test('the trace begins with the line that called the entrance', () => {
  function caller() {
    return entrance()
  }
  expect(caller()?.split('\n')[0]).toMatch(/ at caller \(.*caller-trace\.test\.ts:\d+:\d+\)$/)
})

test('without the entrance on the stack, the trace begins with the first frame outside the directory of the SDK', () => {
  // This file is in the directory of `callerTrace`, so its frames are not taken for the caller's.
  expect(callerTrace(() => undefined)).not.toMatch('caller-trace')
})

test('the directory also decides in engines that cannot omit frames', () => {
  const { captureStackTrace } = Error
  Object.assign(Error, { captureStackTrace: undefined })
  try {
    expect(callerTrace(entrance)).toMatch(/:\d+/)
    expect(callerTrace(entrance)).not.toMatch('caller-trace')
  } finally {
    Object.assign(Error, { captureStackTrace })
  }
})

test.each([
  ['    at build (file:///home/me/my%20app/t.ts:3:7)', '/home/me/my app'],
  ['    at file:///srv/t.mjs:3:7', '/srv'],
  ['    at Object.<anonymous> (/srv/app/t.cjs:3:7)', '/srv/app'],
  ['    at async /t.js:3:7', '/'],
  ['    at C:\\app\\t.js:3:7', 'C:\\app'],
  ['    at file:///C:/app/t.js:3:7', 'C:/app'],
  ['build@/srv/t.js:3:7', '/srv'],
  ['    at new Promise (<anonymous>)', undefined],
  ['    at https://esm.sh/t.js:3:7', undefined],
  ['    at node:internal/modules/run_main:97:12', undefined],
  [undefined, undefined],
])('%s lies in %s', (trace, directory) => {
  expect(directoryOf(trace)).toBe(directory)
})
