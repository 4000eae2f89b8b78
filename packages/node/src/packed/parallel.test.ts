import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { inParallel } from './parallel.ts'

test('each item is processed once, and the limit of concurrent tasks is kept', async () => {
  const done: number[] = []
  let running = 0
  let most = 0
  await inParallel([1, 2, 3, 4, 5, 6, 7], 3, async (item) => {
    most = Math.max(most, ++running)
    await nextTurn()
    running--
    done.push(item)
  })
  expect(done.sort()).toEqual([1, 2, 3, 4, 5, 6, 7])
  expect(most).toBe(3)
})

test('after a failure, running tasks are awaited and no further tasks are started', async () => {
  const ended: number[] = []
  const work = inParallel([1, 2, 3, 4], 2, async (item) => {
    if (item === 1) throw new Error('first')
    await nextTurn()
    ended.push(item)
  })
  await expect(work).rejects.toThrow('first')
  expect(ended).toEqual([2])
})
