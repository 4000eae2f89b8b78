import { expect, test } from 'vitest'
import { FairGate } from './fair-gate.ts'

const gate = (options = {}) =>
  new FairGate({ what: 'diffs', total: 1, maxWaiting: 2, maxWaitMs: 1_000, ...options })

/** Work that the test ends. */
function task() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { work: () => promise, end: () => resolve() }
}

test('work beyond the total waits for its turn, in order', async () => {
  const one = gate()
  const first = task()
  const order: string[] = []
  const running = one.run('a', undefined, first.work)
  const second = one.run('b', undefined, async () => void order.push('b'))
  const third = one.run('c', undefined, async () => void order.push('c'))
  await Promise.resolve()
  expect(order).toEqual([])
  first.end()
  await Promise.all([running, second, third])
  expect(order).toEqual(['b', 'c'])
})

test('owners take turns, however much work one of them requests', async () => {
  const one = gate({ maxWaiting: 5 })
  const busy = task()
  const order: string[] = []
  const asked = [one.run('a', undefined, busy.work)]
  for (const [owner, name] of [
    ['a', 'a1'],
    ['a', 'a2'],
    ['a', 'a3'],
    ['b', 'b1'],
  ] as const)
    asked.push(one.run(owner, undefined, async () => void order.push(name)))
  busy.end()
  await Promise.all(asked)
  expect(order).toEqual(['a1', 'b1', 'a2', 'a3'])
})

test('a full queue and a wait that takes too long are a 503', async () => {
  const short = gate({ maxWaiting: 1, maxWaitMs: 20 })
  const busy = task()
  const running = short.run('a', undefined, busy.work)
  const waiting = short.run('b', undefined, busy.work)
  await expect(short.run('c', undefined, busy.work)).rejects.toMatchObject({
    errorName: 'sandbox_capacity_unavailable',
  })
  await expect(waiting).rejects.toMatchObject({ errorName: 'sandbox_capacity_unavailable' })
  busy.end()
  await running
  expect(await short.run('b', undefined, async () => 'free')).toBe('free')
})

test('an aborted caller leaves the queue, and failing work releases its place', async () => {
  const one = gate()
  const busy = task()
  const running = one.run('a', undefined, busy.work)
  const abort = new AbortController()
  const waiting = one.run('b', abort.signal, busy.work)
  abort.abort(new Error('gone'))
  await expect(waiting).rejects.toThrow('gone')
  busy.end()
  await running
  await expect(one.run('b', undefined, () => Promise.reject(new Error('broke')))).rejects.toThrow('broke')
  expect(await one.run('b', undefined, async () => 'free')).toBe('free')
})
