import { expect, test } from 'vitest'
import { KeyedLock } from './keyed-lock.ts'

/** Work that reports its begin, and ends when the test ends it. */
function work(lock: KeyedLock, key: string) {
  const begin = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  let hasBegun = false
  const done = lock.run(key, async () => {
    hasBegun = true
    begin.resolve()
    await end.promise
  })
  return { begun: begin.promise, hasBegun: () => hasBegun, end: end.resolve, done }
}

test('work on one key runs one after the other, in order of arrival', async () => {
  const lock = new KeyedLock()
  const [first, second, third] = [work(lock, 'k'), work(lock, 'k'), work(lock, 'k')]
  await first!.begun
  expect([second!.hasBegun(), third!.hasBegun()]).toEqual([false, false])
  first!.end()
  await second!.begun
  expect(third!.hasBegun()).toBe(false)
  second!.end()
  await third!.begun
  third!.end()
  await Promise.all([first!.done, second!.done, third!.done])
})

test('work on different keys runs concurrently', async () => {
  const lock = new KeyedLock()
  const held = work(lock, 'k')
  const other = work(lock, 'other')
  await Promise.all([held.begun, other.begun])
  other.end()
  await other.done
  held.end()
  await held.done
})

test('a failure releases the lock', async () => {
  const lock = new KeyedLock()
  await expect(lock.run('k', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await expect(lock.run('k', async () => 1)).resolves.toBe(1)
})

test('at most 100 callers wait for a key', async () => {
  const lock = new KeyedLock()
  const held = work(lock, 'k')
  const waiting = Array.from({ length: 100 }, () => lock.run('k', async () => {}))
  await expect(lock.run('k', async () => {})).rejects.toMatchObject({ errorName: 'rate_limited' })
  held.end()
  await Promise.all([held.done, ...waiting])
})
