import { expect, test } from 'vitest'
import { BuildQueue } from './build-queue.ts'

/** A queue whose work ends when the test says so. */
function controlled(concurrency: number) {
  const queue = new BuildQueue(concurrency)
  const started: string[] = []
  const ends = new Map<string, () => void>()
  const add = (teamId: string, name: string, signal = new AbortController().signal) =>
    queue.run(teamId, signal, () => {
      started.push(name)
      return new Promise<void>((resolve) => ends.set(name, resolve))
    })
  const end = async (name: string) => {
    ends.get(name)!()
    await new Promise(setImmediate)
  }
  return { queue, started, add, end }
}

test('no more than so many run at a time', async () => {
  const { started, add, end } = controlled(2)
  for (const name of ['a1', 'a2', 'a3']) void add('a', name)
  await new Promise(setImmediate)
  expect(started).toEqual(['a1', 'a2'])
  await end('a1')
  expect(started).toEqual(['a1', 'a2', 'a3'])
})

test('a team with many builds does not make another wait for all of them', async () => {
  const { started, add, end } = controlled(2)
  for (const name of ['a1', 'a2', 'a3', 'a4']) void add('a', name)
  void add('b', 'b1')
  await new Promise(setImmediate)
  await end('a1')
  expect(started).toEqual(['a1', 'a2', 'b1'])
  await end('b1')
  expect(started).toEqual(['a1', 'a2', 'b1', 'a3'])
})

test('one that is cancelled while it waits never runs, and the next takes its turn', async () => {
  const { queue, started, add, end } = controlled(1)
  void add('a', 'a1')
  const abort = new AbortController()
  const cancelled = add('a', 'a2', abort.signal)
  void add('a', 'a3')
  await new Promise(setImmediate)
  abort.abort(new Error('deleted'))
  await expect(cancelled).rejects.toThrow('deleted')
  await end('a1')
  expect(started).toEqual(['a1', 'a3'])
  expect(queue.countOf('a')).toBe(1)
})

test('one that fails gives its place away', async () => {
  const queue = new BuildQueue(1)
  const { signal } = new AbortController()
  await expect(queue.run('a', signal, () => Promise.reject(new Error('x')))).rejects.toThrow('x')
  expect(await queue.run('a', signal, async () => 'done')).toBe('done')
  expect(queue.countOf('a')).toBe(0)
})
