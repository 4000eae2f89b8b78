import { expect, test } from 'vitest'
import { canBecome, type SandboxState } from './state.ts'

const states: SandboxState[] = ['starting', 'running', 'killing', 'killed']

test('a sandbox only ever goes forward, and a killed one goes nowhere', () => {
  const allowed = states.flatMap((from) =>
    states.filter((to) => canBecome(from, to)).map((to) => `${from} → ${to}`),
  )
  expect(allowed).toEqual([
    'starting → running',
    'starting → killing',
    'starting → killed',
    'running → killing',
    'running → killed',
    'killing → killed',
  ])
})
