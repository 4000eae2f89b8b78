import { expect, test } from 'vitest'
import { canBecome, type SandboxState } from './state.ts'

const states: SandboxState[] = ['starting', 'running', 'pausing', 'paused', 'killing', 'killed']

test('a sandbox can be paused and resumed any number of times, and a killed one never changes', () => {
  const allowed = states.flatMap((from) =>
    states.filter((to) => canBecome(from, to)).map((to) => `${from} → ${to}`),
  )
  expect(allowed).toEqual([
    'starting → running',
    'starting → killing',
    'starting → killed',
    'running → pausing',
    'running → killing',
    'running → killed',
    'pausing → running',
    'pausing → paused',
    'pausing → killed',
    'paused → running',
    'paused → killing',
    'paused → killed',
    'killing → killed',
  ])
})
