import { describe, expect, test } from 'vitest'
import { type MachinePhase, MachineState } from './machine-state.ts'

const PHASES: MachinePhase[] = ['starting', 'warm', 'parked', 'running', 'frozen', 'stalled', 'ending']
/** The legal changes of phase, with the event that causes each. */
const LEGAL = new Map<string, string>([
  ['starting warm', 'it is ready'],
  ['starting parked', 'it is ready, with code of a template or snapshot inside'],
  ['warm running', 'a sandbox claims it'],
  ['parked frozen', 'a sandbox claims it, which then thaws it'],
  ['running frozen', 'it is paused'],
  ['running stalled', 'a guard freezes it'],
  ['frozen running', 'it is thawed'],
  ['frozen stalled', 'a guard takes over a machine that a former server froze, or whose pause failed'],
  ['stalled running', 'the guard thaws it'],
  ['stalled frozen', 'it is paused while it is stalled'],
  ...PHASES.map((phase): [string, string] => [`${phase} ending`, 'it is stopped, or stopped again']),
])
const PAIRS = PHASES.flatMap((from) => PHASES.map((to) => [from, to] as const))

describe('changes', () => {
  test.each(PAIRS.filter(([from, to]) => LEGAL.has(`${from} ${to}`)))('%s to %s is legal', (from, to) => {
    const state = new MachineState(from)
    state.change(to)
    expect(state.phase).toBe(to)
  })

  test.each(PAIRS.filter(([from, to]) => !LEGAL.has(`${from} ${to}`)))(
    '%s to %s is refused and changes nothing',
    (from, to) => {
      const state = new MachineState(from)
      expect(() => state.change(to)).toThrow(`a machine that is ${from} cannot become ${to}`)
      expect(state.phase).toBe(from)
    },
  )
})

test.each([
  ['starting', { isWarm: true }],
  ['warm', { isWarm: true }],
  ['parked', { isWarm: true, isFrozen: true }],
  ['running', { isRunning: true }],
  ['frozen', { isFrozen: true }],
  ['stalled', { isFrozen: true, isStalled: true }],
  ['ending', { isEnding: true }],
] as const)('properties of a machine that is %s', (phase, expected) => {
  const { isWarm, isFrozen, isRunning, isStalled, isEnding } = new MachineState(phase)
  expect({ isWarm, isFrozen, isRunning, isStalled, isEnding }).toEqual({
    isWarm: false,
    isFrozen: false,
    isRunning: false,
    isStalled: false,
    isEnding: false,
    ...expected,
  })
})
