import { expect, test } from 'vitest'
import { KeyedLock } from './keyed-lock.ts'

test('work on one key runs one after the other in order, on different keys side by side', async () => {
  const lock = new KeyedLock()
  const log: string[] = []
  const work = (key: string, name: string) =>
    lock.run(key, async () => {
      log.push(`+${name}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
      log.push(`-${name}`)
    })
  await Promise.all([work('k', '1'), work('k', '2'), work('k', '3'), work('other', 'x')])
  expect(log.filter((entry) => !entry.endsWith('x'))).toEqual(['+1', '-1', '+2', '-2', '+3', '-3'])
  expect(log.indexOf('+x')).toBeLessThan(log.indexOf('-1'))
})

test('a failure releases the lock', async () => {
  const lock = new KeyedLock()
  await expect(lock.run('k', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await expect(lock.run('k', async () => 1)).resolves.toBe(1)
})

test('the queue of a key is bounded', async () => {
  const lock = new KeyedLock()
  let open = () => {}
  const held = lock.run('k', () => new Promise<void>((resolve) => (open = resolve)))
  const waiting = Array.from({ length: 100 }, () => lock.run('k', async () => {}))
  await expect(lock.run('k', async () => {})).rejects.toMatchObject({ errorName: 'rate_limited' })
  open()
  await Promise.all([held, ...waiting])
})
