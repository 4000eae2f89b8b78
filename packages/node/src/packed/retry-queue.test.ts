import { once } from 'node:events'
import { afterEach, expect, test, vi } from 'vitest'
import { RetryQueue, type RetryQueueOptions } from './retry-queue.ts'

afterEach(() => vi.useRealTimers())

const queueOf = (options: Partial<RetryQueueOptions> & Pick<RetryQueueOptions, 'work'>) =>
  new RetryQueue({ concurrency: 1, isFinal: () => false, onError: () => {}, firstDelayMs: 1, ...options })

test('failing work is retried until it succeeds, and the state shows the attempts', async () => {
  let attempts = 0
  const errors: string[] = []
  const queue = queueOf({
    work: async () => {
      if (++attempts < 4) throw new Error(`failure ${attempts}`)
      expect(queue.state('a')).toMatchObject({ attempts: 4, isRunning: true, isFailed: false })
      expect((queue.state('a')!.lastError as Error).message).toBe('failure 3')
    },
    onError: (id, error) => errors.push(`${id}: ${(error as Error).message}`),
  })
  queue.add('a')
  await queue.whenSettled('a')
  expect(errors).toEqual(['a: failure 1', 'a: failure 2', 'a: failure 3'])
  expect(queue.state('a')).toBeUndefined()
})

test('delays double up to a minute', async () => {
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(1)
  const startMs = Date.now()
  const starts: number[] = []
  const queue = queueOf({
    firstDelayMs: 10_000,
    work: async () => {
      starts.push((Date.now() - startMs) / 1000)
      throw new Error('no')
    },
  })
  queue.add('a')
  await vi.advanceTimersByTimeAsync(200_000)
  expect(starts).toEqual([0, 10, 30, 70, 130, 190])
  await queue.close()
})

test('an id that waits for a retry does not delay others', async () => {
  const done: string[] = []
  const queue = queueOf({
    firstDelayMs: 60_000,
    work: async (id) => {
      if (id === 'bad') throw new Error('no')
      done.push(id)
    },
  })
  for (const id of ['bad', 'a', 'b']) queue.add(id)
  await queue.whenSettled('b')
  expect(done).toEqual(['a', 'b'])
  await queue.close()
})

test('an id with a final error stays failed until it is added again', async () => {
  let isBroken = true
  const queue = queueOf({
    work: async () => {
      if (isBroken) throw new Error('broken')
    },
    isFinal: () => true,
  })
  queue.add('a')
  await queue.whenSettled('a')
  expect(queue.state('a')).toMatchObject({ attempts: 1, isFailed: true })
  isBroken = false
  queue.add('a')
  await queue.whenSettled('a')
  expect(queue.state('a')).toBeUndefined()
})

test('removing an id aborts its work and waits until it has ended', async () => {
  const events: string[] = []
  const queue = queueOf({
    work: async (_, signal) => {
      events.push('began')
      await once(signal, 'abort')
      events.push('stopped')
      throw signal.reason
    },
    onError: () => events.push('error'),
  })
  queue.add('a')
  await queue.remove('a')
  expect(events).toEqual(['began', 'stopped'])
  expect(queue.state('a')).toBeUndefined()
})

test('the limit of concurrent ids is kept, and each id runs once at a time', async () => {
  let running = 0
  let most = 0
  let runs = 0
  const queue = queueOf({
    concurrency: 3,
    work: async () => {
      runs++
      most = Math.max(most, ++running)
      await new Promise(setImmediate)
      running--
    },
  })
  const ids = Array.from({ length: 20 }, (_, i) => `id-${i}`)
  for (const id of [...ids, ...ids]) queue.add(id)
  await Promise.all(ids.map((id) => queue.whenSettled(id)))
  expect({ runs, most }).toEqual({ runs: 20, most: 3 })
})
