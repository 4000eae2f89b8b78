import { expect, test } from 'vitest'
import { UnderWay } from './under-way.ts'

test('settling waits for failures and for what was added meanwhile', async () => {
  const underWay = new UnderWay()
  const log: string[] = []
  const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
  underWay
    .add(sleep(5).then(() => void underWay.add(sleep(10).then(() => log.push('later')))))
    .catch(() => {})
  underWay.add(Promise.reject(new Error('no'))).catch(() => {})
  await underWay.settle(5_000)
  expect(log).toEqual(['later'])
})

test('settling gives up in time', async () => {
  const underWay = new UnderWay()
  underWay.add(new Promise(() => {}))
  await expect(underWay.settle(10)).resolves.toBeUndefined()
})
