import { expect, test } from 'vitest'
import { BuildQueue } from './queue.ts'

/** A queue with builds that the test ends. */
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

test('at most `concurrency` builds run at a time', async () => {
  const { started, add, end } = controlled(2)
  for (const name of ['a1', 'a2', 'a3']) void add('a', name)
  await new Promise(setImmediate)
  expect(started).toEqual(['a1', 'a2'])
  await end('a1')
  expect(started).toEqual(['a1', 'a2', 'a3'])
})

test('a team does not wait for all builds of a team with many', async () => {
  const { started, add, end } = controlled(2)
  for (const name of ['a1', 'a2', 'a3', 'a4']) void add('a', name)
  void add('b', 'b1')
  await new Promise(setImmediate)
  await end('a1')
  expect(started).toEqual(['a1', 'a2', 'b1'])
  await end('b1')
  expect(started).toEqual(['a1', 'a2', 'b1', 'a3'])
})

test('a build that is cancelled while it waits never runs, and the next build runs instead', async () => {
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

test('a build that fails frees its place', async () => {
  const queue = new BuildQueue(1)
  const { signal } = new AbortController()
  await expect(queue.run('a', signal, () => Promise.reject(new Error('x')))).rejects.toThrow('x')
  expect(await queue.run('a', signal, async () => 'done')).toBe('done')
  expect(queue.countOf('a')).toBe(0)
})

/** Like `controlled`, with builds that wait in `whileWaiting` until the test ends the wait. */
function withWaits(concurrency: number) {
  const queue = new BuildQueue(concurrency)
  const seen: string[] = []
  const waits = new Map<string, () => void>()
  const ends = new Map<string, () => void>()
  const add = (teamId: string, name: string, signal = new AbortController().signal) =>
    queue.run(teamId, signal, async ({ whileWaiting }) => {
      seen.push(name)
      await whileWaiting(() => new Promise<void>((resolve) => waits.set(name, resolve)))
      seen.push(`${name} continues`)
      await new Promise<void>((resolve) => ends.set(name, resolve))
    })
  const after = async (act: () => void) => {
    act()
    await new Promise(setImmediate)
  }
  return {
    queue,
    seen,
    add,
    wake: (name: string) => after(waits.get(name)!),
    end: (name: string) => after(ends.get(name)!),
  }
}

test('a waiting build gives its place to another, and continues before a new build starts', async () => {
  const { queue, seen, add, wake, end } = withWaits(1)
  void add('a', 'a1')
  const other = Promise.withResolvers<void>()
  void queue.run('b', new AbortController().signal, async () => {
    seen.push('b1')
    await other.promise
  })
  await new Promise(setImmediate)
  expect(seen).toEqual(['a1', 'b1'])
  void add('c', 'c1')
  await wake('a1')
  expect(seen).toEqual(['a1', 'b1'])
  other.resolve()
  await new Promise(setImmediate)
  expect(seen).toEqual(['a1', 'b1', 'a1 continues'])
  expect([queue.countOf('a'), queue.countOf('c')]).toEqual([1, 1])
  await end('a1')
  expect(seen).toEqual(['a1', 'b1', 'a1 continues', 'c1'])
  expect(queue.countOf('a')).toBe(0)
})

test('the number of builds that give their place away is bounded, in total and for one team: the next one keeps its place', async () => {
  const { queue, seen, add } = withWaits(2)
  for (let i = 1; i <= 8; i++) void add('a', `a${i}`)
  await new Promise(setImmediate)
  // four builds have given their places away, two keep them
  expect(seen).toEqual(['a1', 'a2', 'a3', 'a4', 'a5', 'a6'])
  expect(queue.countOf('a')).toBe(8)
})

test('a build that fails or is cancelled while it waits affects no other build', async () => {
  const queue = new BuildQueue(1)
  const none = new AbortController().signal
  const failing = queue.run('a', none, ({ whileWaiting }) =>
    whileWaiting(() => Promise.reject(new Error('x'))),
  )
  await expect(failing).rejects.toThrow('x')
  const abort = new AbortController()
  let blocker = () => {}
  const cancelled = queue.run('a', abort.signal, ({ whileWaiting }) => whileWaiting(async () => {}))
  const other = queue.run('b', none, () => new Promise<void>((resolve) => (blocker = resolve)))
  await new Promise(setImmediate)
  abort.abort(new Error('deleted'))
  await expect(cancelled).rejects.toThrow('deleted')
  blocker()
  await other
  expect(await queue.run('c', none, async () => 'done')).toBe('done')
  expect([queue.countOf('a'), queue.countOf('b'), queue.countOf('c')]).toEqual([0, 0, 0])
})
