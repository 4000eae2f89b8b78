import { expect, test } from 'vitest'
import { traceOfStep } from './build-status.ts'

const traces = { base: 'base', steps: ['first', 'second'], finalize: 'end' }

test.each([
  ['base', 'base'],
  ['0', 'base'],
  ['1', 'first'],
  ['2', 'second'],
  ['finalize', 'end'],
  ['3', undefined],
  ['x', undefined],
  [undefined, undefined],
])('step %s points to the line %s', (step, trace) => {
  expect(traceOfStep(traces, step)).toBe(trace)
})
