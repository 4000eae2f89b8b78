import { expect, test } from 'vitest'
import { PendingWork } from './pending-work.ts'

test('settling waits for failures and for what was added meanwhile', async () => {
  const pending = new PendingWork()
  const log: string[] = []
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  pending.add(sleep(5).then(() => void pending.add(sleep(10).then(() => log.push('later'))))).catch(() => {})
  pending.add(Promise.reject(new Error('no'))).catch(() => {})
  await pending.settle(5_000)
  expect(log).toEqual(['later'])
})

test('settling gives up in time', async () => {
  const pending = new PendingWork()
  pending.add(new Promise(() => {}))
  await expect(pending.settle(10)).resolves.toBeUndefined()
})
