import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LiveMachine } from '../machines/machine.ts'
import { FrozenMachines } from './frozen-machines.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function frozenMachines(keepMs: number, save: (machineId: string) => Promise<void> = async () => {}) {
  const ended: string[] = []
  const saved: string[] = []
  const errors: unknown[] = []
  const dropped: string[] = []
  const machines = new FrozenMachines({
    keepMs,
    end: async (machineId) => void ended.push(machineId),
    onError: (error) => errors.push(error),
  })
  const hold = (machineId: string) =>
    machines.hold({ machineId } as LiveMachine, {
      save: async () => {
        await save(machineId)
        saved.push(machineId)
      },
      onDropped: () => dropped.push(machineId),
    })
  return { machines, hold, ended, saved, dropped, errors }
}

test('a machine that is resumed in time is returned, and its files are not saved', async () => {
  const { machines, hold, ended, saved } = frozenMachines(60_000)
  hold('a')
  await vi.advanceTimersByTimeAsync(500)
  expect(machines.claim('a')).toEqual({ machineId: 'a' })
  expect(machines.claim('a')).toBeUndefined()
  await vi.advanceTimersByTimeAsync(120_000)
  machines.dropOld()
  expect([ended, saved, machines.size]).toEqual([[], [], 0])
})

test('machines are ended by age, the oldest first', async () => {
  const { machines, hold, ended } = frozenMachines(60_000)
  hold('a')
  await vi.advanceTimersByTimeAsync(10_000)
  hold('b')
  await vi.advanceTimersByTimeAsync(49_999)
  machines.dropOld()
  expect(ended).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  machines.dropOld()
  expect(ended).toEqual(['a'])
  await vi.advanceTimersByTimeAsync(10_000)
  machines.dropOld()
  expect(ended).toEqual(['a', 'b'])
})

test('a machine whose files are still being saved is ended neither by age nor to free memory', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { machines, hold, ended } = frozenMachines(60_000, (id) =>
    id === 'slow' ? promise : Promise.resolve(),
  )
  hold('slow')
  hold('other')
  await vi.advanceTimersByTimeAsync(120_000)
  expect(await machines.dropOldest()).toBe(true)
  expect(await machines.dropOldest()).toBe(false)
  machines.dropOld()
  expect(ended).toEqual(['other'])
  resolve()
  await vi.advanceTimersByTimeAsync(0)
  machines.dropOld()
  expect(ended).toEqual(['other', 'slow'])
})

test('machines are dropped one by one, the oldest first, until none is left', async () => {
  const { machines, hold, ended } = frozenMachines(60_000)
  for (const id of ['a', 'b', 'c']) hold(id)
  expect(await machines.dropOldest()).toBe(false)
  await vi.advanceTimersByTimeAsync(1_000)
  while (await machines.dropOldest());
  expect([ended, machines.size]).toEqual([['a', 'b', 'c'], 0])
})

test('without a keep time each machine ends as soon as its files are saved', async () => {
  const { hold, ended, saved } = frozenMachines(0)
  hold('a')
  await vi.advanceTimersByTimeAsync(0)
  expect([saved, ended]).toEqual([['a'], ['a']])
})

test('a machine whose files could not be saved is reported, and is ended by age', async () => {
  const { machines, hold, ended, errors } = frozenMachines(2_000, async () => {
    throw new Error('no space left')
  })
  hold('a')
  await vi.advanceTimersByTimeAsync(2_000)
  machines.dropOld()
  expect(ended).toEqual(['a'])
  expect(errors).toEqual([new Error('no space left')])
})

test('files are saved at once for a resume without the memory, and only once', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { machines, hold, saved } = frozenMachines(60_000, () => promise)
  hold('a')
  const both = Promise.all([machines.saveFiles('a'), machines.saveFiles('a'), machines.saveFiles('unknown')])
  resolve()
  await both
  await vi.advanceTimersByTimeAsync(2_000)
  expect(saved).toEqual(['a'])
  expect(machines.claim('a')).toEqual({ machineId: 'a' })
})

test('a failed save rejects its caller and is retried for the next one', async () => {
  let isFull = true
  const { machines, hold, saved } = frozenMachines(60_000, async () => {
    if (isFull) throw new Error('no space left')
  })
  hold('a')
  await expect(machines.saveFiles('a')).rejects.toThrow('no space left')
  isFull = false
  await machines.saveFiles('a')
  expect(saved).toEqual(['a'])
})

test('a server that stops keeps the machines for the next server', async () => {
  const { machines, hold, ended, saved } = frozenMachines(60_000)
  hold('a')
  machines.close()
  await vi.advanceTimersByTimeAsync(120_000)
  expect([ended, saved]).toEqual([[], []])
})

test('a machine that is claimed before its files are saved is reported as dropped, once', async () => {
  const { machines, hold, saved, dropped } = frozenMachines(60_000)
  hold('a')
  await vi.advanceTimersByTimeAsync(500)
  machines.claim('a')
  machines.claim('a')
  await vi.advanceTimersByTimeAsync(120_000)
  expect([saved, dropped]).toEqual([[], ['a']])
})

test('a machine whose files are saved, or being saved, is not reported as dropped', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { machines, hold, saved, dropped } = frozenMachines(60_000, (id) =>
    id === 'slow' ? promise : Promise.resolve(),
  )
  hold('a')
  hold('slow')
  await vi.advanceTimersByTimeAsync(1_000)
  machines.claim('a')
  machines.claim('slow')
  resolve()
  await vi.advanceTimersByTimeAsync(0)
  expect([saved, dropped]).toEqual([['a', 'slow'], []])
})

test('a machine whose files could not be saved is reported as dropped when it ends', async () => {
  const { promise, reject } = Promise.withResolvers<void>()
  const { machines, hold, dropped, errors } = frozenMachines(60_000, (id) =>
    id === 'slow' ? promise : Promise.reject(new Error('no space left')),
  )
  hold('a')
  hold('slow')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await machines.dropOldest()).toBe(true)
  expect(dropped).toEqual(['a'])
  machines.claim('slow')
  reject(new Error('its machine is gone'))
  await vi.advanceTimersByTimeAsync(0)
  expect([dropped, errors.length]).toEqual([['a', 'slow'], 2])
})
