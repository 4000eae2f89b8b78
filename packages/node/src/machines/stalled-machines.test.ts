import { beforeEach, expect, test } from 'vitest'
import { machineIn } from './live-machine.fixture.ts'
import type { LiveMachine } from './machine.ts'
import { StalledMachines } from './stalled-machines.ts'

let thawed: string[]
let stalled: StalledMachines

beforeEach(() => {
  thawed = []
  stalled = new StalledMachines({
    stall: async ({ state }) => {
      if (!state.isFrozen) state.change('stalled')
    },
    thaw: async ({ state }) => state.change('running'),
    onThawed: ({ machineId }) => void thawed.push(machineId),
    onError: (error) => {
      throw error
    },
  })
})

const phasesOf = (...machines: LiveMachine[]) => machines.map(({ state }) => state.phase)

test('stalled machines are thawed together', async () => {
  const [a, b] = [machineIn('running', 'a'), machineIn('frozen', 'b')]
  await stalled.stall(a)
  stalled.adopt(b)
  expect(phasesOf(a, b)).toEqual(['stalled', 'stalled'])
  await stalled.thawAll()
  expect(phasesOf(a, b)).toEqual(['running', 'running'])
  expect(thawed).toEqual(['a', 'b'])
})

test('a machine of a paused sandbox is not taken over, and not thawed', async () => {
  const paused = machineIn('frozen', 'a')
  await stalled.stall(paused)
  expect(stalled.size).toBe(0)
  await stalled.thawAll()
  expect(phasesOf(paused)).toEqual(['frozen'])
})

test('a machine that is stopped while it is stalled is not thawed', async () => {
  const machine = machineIn('running', 'a')
  await stalled.stall(machine)
  machine.state.change('ending')
  await stalled.thawAll()
  expect(thawed).toEqual([])
})

test('a machine that is paused while it is stalled stays frozen', async () => {
  const machine = machineIn('running', 'a')
  await stalled.stall(machine)
  await stalled.release(machine, undefined, async () => machine.state.change('frozen'))
  await stalled.thawAll()
  expect(phasesOf(machine)).toEqual(['frozen'])
})

test.each([
  ['before it changed the machine', () => {}],
  ['and could not thaw it', (machine: LiveMachine) => machine.state.change('frozen')],
] as const)('a machine whose pause failed %s is thawed with the others', async (_, pause) => {
  const machine = machineIn('running', 'a')
  await stalled.stall(machine)
  const failing = stalled.release(machine, undefined, async () => {
    pause(machine)
    throw new Error('disk full')
  })
  await expect(failing).rejects.toThrow('disk full')
  await stalled.thawAll()
  expect(phasesOf(machine)).toEqual(['running'])
})
