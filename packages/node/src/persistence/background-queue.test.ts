import { expect, test } from 'vitest'
import { BackgroundQueue } from './background-queue.ts'

test('ids are processed one at a time, in order of arrival', async () => {
  const done: string[] = []
  let running = 0
  const line = new BackgroundQueue(async (id) => {
    running++
    expect(running).toBe(1)
    await Promise.resolve()
    done.push(id)
    running--
  })
  for (const id of ['a', 'b', 'c']) line.add(id)
  await expect.poll(() => done).toEqual(['a', 'b', 'c'])
  line.add('d')
  await expect.poll(() => done.at(-1)).toBe('d')
})

test('close waits for the running work and drops the rest', async () => {
  const begun: string[] = []
  const work = Promise.withResolvers<void>()
  const line = new BackgroundQueue((id) => {
    begun.push(id)
    return work.promise
  })
  for (const id of ['a', 'b']) line.add(id)
  const closed = line.close()
  work.resolve()
  await closed
  line.add('c')
  expect(begun).toEqual(['a'])
})
