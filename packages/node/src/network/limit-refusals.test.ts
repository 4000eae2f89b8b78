import { expect, test } from 'vitest'
import { machineIn } from '../machines/live-machine.fixture.ts'
import { LimitRefusals } from './limit-refusals.ts'

function machine(interfaceName: string, teamId: string) {
  const one = machineIn('running', interfaceName)
  Object.assign(one.slot, { interfaceName })
  one.owner = { sandboxId: `i-${interfaceName}`, teamId }
  return one
}

test('packets are counted once, for the team that has the slot then, also after the table was replaced', () => {
  const refusals = new LimitRefusals()
  const machines = [machine('a', 'one'), machine('b', 'one'), machine('c', 'two')]
  const since = (counters: Record<string, number>, known = machines) =>
    Object.fromEntries(refusals.since(new Map(Object.entries(counters)), known))
  expect(since({ a: 3, b: 4, c: 5, gone: 9 })).toEqual({ one: 7, two: 5 })
  expect(since({ a: 3, b: 4, c: 6, gone: 12 })).toEqual({ two: 1 })
  expect(since({ a: 2 })).toEqual({ one: 2 })
  expect(since({})).toEqual({})
  expect(since({ a: 10 }, [])).toEqual({})
  expect(since({ a: 11 }, [machine('a', 'next')])).toEqual({ next: 1 })
})
