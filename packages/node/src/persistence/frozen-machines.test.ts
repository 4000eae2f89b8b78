import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LiveMachine } from '../machines/machine.ts'
import { FrozenMachines } from './frozen-machines.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function hotMachines(keepMs: number, finish: (machineId: string) => Promise<void> = async () => {}) {
  const ended: string[] = []
  const finished: string[] = []
  const errors: unknown[] = []
  const settled: string[] = []
  const hot = new FrozenMachines({
    keepMs,
    end: async (machineId) => void ended.push(machineId),
    onError: (error) => errors.push(error),
  })
  const hold = (machineId: string) =>
    hot.hold({ machineId } as LiveMachine, {
      finish: async () => {
        await finish(machineId)
        finished.push(machineId)
      },
      settleForLess: () => settled.push(machineId),
    })
  return { hot, hold, ended, finished, settled, errors }
}

test('one that is resumed in time is given back, without what only its end would need', async () => {
  const { hot, hold, ended, finished } = hotMachines(60_000)
  hold('a')
  await vi.advanceTimersByTimeAsync(500)
  expect(hot.take('a')).toEqual({ machineId: 'a' })
  expect(hot.take('a')).toBeUndefined()
  await vi.advanceTimersByTimeAsync(120_000)
  hot.tend()
  expect([ended, finished, hot.size]).toEqual([[], [], 0])
})

test('they end by age, the oldest first', async () => {
  const { hot, hold, ended } = hotMachines(60_000)
  hold('a')
  await vi.advanceTimersByTimeAsync(10_000)
  hold('b')
  await vi.advanceTimersByTimeAsync(49_999)
  hot.tend()
  expect(ended).toEqual([])
  await vi.advanceTimersByTimeAsync(1)
  hot.tend()
  expect(ended).toEqual(['a'])
  await vi.advanceTimersByTimeAsync(10_000)
  hot.tend()
  expect(ended).toEqual(['a', 'b'])
})

test('one that its checkpoint still needs is neither ended by age nor for its room', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { hot, hold, ended } = hotMachines(60_000, (id) => (id === 'slow' ? promise : Promise.resolve()))
  hold('slow')
  hold('other')
  await vi.advanceTimersByTimeAsync(120_000)
  expect(await hot.dropOldest()).toBe(true)
  expect(await hot.dropOldest()).toBe(false)
  hot.tend()
  expect(ended).toEqual(['other'])
  resolve()
  await vi.advanceTimersByTimeAsync(0)
  hot.tend()
  expect(ended).toEqual(['other', 'slow'])
})

test('memory is freed one by one, the oldest first, until there is none', async () => {
  const { hot, hold, ended } = hotMachines(60_000)
  for (const id of ['a', 'b', 'c']) hold(id)
  expect(await hot.dropOldest()).toBe(false)
  await vi.advanceTimersByTimeAsync(1_000)
  while (await hot.dropOldest());
  expect([ended, hot.size]).toEqual([['a', 'b', 'c'], 0])
})

test('when none is to be kept each ends as soon as its checkpoint is complete', async () => {
  const { hold, ended, finished } = hotMachines(0)
  hold('a')
  await vi.advanceTimersByTimeAsync(0)
  expect([finished, ended]).toEqual([['a'], ['a']])
})

test('one whose checkpoint could not be completed is reported and goes all the same', async () => {
  const { hot, hold, ended, errors } = hotMachines(2_000, async () => {
    throw new Error('no space left')
  })
  hold('a')
  await vi.advanceTimersByTimeAsync(2_000)
  hot.tend()
  expect(ended).toEqual(['a'])
  expect(errors).toEqual([new Error('no space left')])
})

test('what its checkpoint needs is done at once for who wants it without the memory, and only once', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { hot, hold, finished } = hotMachines(60_000, () => promise)
  hold('a')
  const both = Promise.all([hot.finish('a'), hot.finish('a'), hot.finish('unknown')])
  resolve()
  await both
  await vi.advanceTimersByTimeAsync(2_000)
  expect(finished).toEqual(['a'])
  expect(hot.take('a')).toEqual({ machineId: 'a' })
})

test('what failed is told to who wants it, and tried again for the next', async () => {
  let isFull = true
  const { hot, hold, finished } = hotMachines(60_000, async () => {
    if (isFull) throw new Error('no space left')
  })
  hold('a')
  await expect(hot.finish('a')).rejects.toThrow('no space left')
  isFull = false
  await hot.finish('a')
  expect(finished).toEqual(['a'])
})

test('a server that stops leaves them to the next one', async () => {
  const { hot, hold, ended, finished } = hotMachines(60_000)
  hold('a')
  hot.close()
  await vi.advanceTimersByTimeAsync(120_000)
  expect([ended, finished]).toEqual([[], []])
})

test('a checkpoint whose machine is taken before it was finished is settled without it, once', async () => {
  const { hot, hold, finished, settled } = hotMachines(60_000)
  hold('a')
  await vi.advanceTimersByTimeAsync(500)
  hot.take('a')
  hot.take('a')
  await vi.advanceTimersByTimeAsync(120_000)
  expect([finished, settled]).toEqual([[], ['a']])
})

test('one that was finished, or is being finished, needs no settling when its machine goes', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { hot, hold, finished, settled } = hotMachines(60_000, (id) =>
    id === 'slow' ? promise : Promise.resolve(),
  )
  hold('a')
  hold('slow')
  await vi.advanceTimersByTimeAsync(1_000)
  hot.take('a')
  hot.take('slow')
  resolve()
  await vi.advanceTimersByTimeAsync(0)
  expect([finished, settled]).toEqual([['a', 'slow'], []])
})

test('one whose finishing fails is settled when its machine is gone or goes', async () => {
  const { promise, reject } = Promise.withResolvers<void>()
  const { hot, hold, settled, errors } = hotMachines(60_000, (id) =>
    id === 'slow' ? promise : Promise.reject(new Error('no space left')),
  )
  hold('a')
  hold('slow')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(await hot.dropOldest()).toBe(true)
  expect(settled).toEqual(['a'])
  hot.take('slow')
  reject(new Error('its machine is gone'))
  await vi.advanceTimersByTimeAsync(0)
  expect([settled, errors.length]).toEqual([['a', 'slow'], 2])
})
