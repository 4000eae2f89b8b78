import { expect, test } from 'vitest'
import { PendingWork } from './pending-work.ts'

test('settle waits for work that fails, and for work that was added in the meantime', async () => {
  const pending = new PendingWork()
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const adding = pending.add(first.promise.then(() => void pending.add(second.promise)))
  pending.add(Promise.reject(new Error('no'))).catch(() => {})
  let isSettled = false
  const settling = pending.settle(60_000).then(() => void (isSettled = true))
  first.resolve()
  await adding
  await new Promise(setImmediate)
  expect(isSettled).toBe(false)
  second.resolve()
  await settling
})

test('settle gives up after its timeout', async () => {
  const pending = new PendingWork()
  pending.add(new Promise(() => {}))
  await expect(pending.settle(10)).resolves.toBeUndefined()
})
