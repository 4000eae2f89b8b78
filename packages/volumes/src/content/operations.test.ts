import { expect, test } from 'vitest'
import { Operations } from './operations.ts'

const never = new AbortController().signal

test('while a volume is held, requests wait, and so does work in the background', async () => {
  const operations = new Operations()
  const order: string[] = []
  const { promise: copied, resolve: endCopy } = Promise.withResolvers<void>()
  const holding = operations.whileHeld('v1', async () => {
    await copied
    order.push('copy')
  })
  const request = operations.beginRequest('v1').then(() => order.push('request'))
  const background = operations.beginInBackground('v1', never).then(() => order.push('background'))
  ;(await operations.beginRequest('other'))()
  endCopy()
  await Promise.all([holding, request, background])
  expect(order[0]).toBe('copy')
})

test('a hold waits for what has begun, and gives up when that does not end', async () => {
  const operations = new Operations(20)
  const end = await operations.beginRequest('v1')
  await expect(operations.whileHeld('v1', async () => 'copied')).rejects.toMatchObject({
    errorName: 'conflict',
  })
  const holding = operations.whileHeld('v1', async () => 'copied')
  end()
  end()
  expect(await holding).toBe('copied')
})

test('a request that waits too long is told to try again, and an abort ends what waits in the background', async () => {
  const operations = new Operations(20)
  const { promise: copied, resolve: endCopy } = Promise.withResolvers<void>()
  const holding = operations.whileHeld('v1', () => copied)
  await expect(operations.beginRequest('v1')).rejects.toMatchObject({ errorName: 'rate_limited' })
  const abort = new AbortController()
  const background = operations.beginInBackground('v1', abort.signal)
  abort.abort()
  await expect(background).rejects.toThrow('aborted')
  endCopy()
  await holding
  ;(await operations.beginRequest('v1'))()
})

test('one volume has 64 requests at a time', async () => {
  const operations = new Operations()
  const ends = await Promise.all(Array.from({ length: 64 }, () => operations.beginRequest('v1')))
  await expect(operations.beginRequest('v1')).rejects.toMatchObject({ errorName: 'rate_limited' })
  ends[0]!()
  await operations.beginRequest('v1')
})

test('deep listings have a limit for each volume and for all, and give back what they had', async () => {
  const operations = new Operations()
  const deep = (volumeId: string) => operations.reserveFolders(volumeId, 64)
  const releases = Array.from({ length: 4 }, () => deep('v1'))
  expect(() => operations.reserveFolders('v1', 1)).toThrow('other listings')
  for (let volume = 2; volume <= 8; volume += 1)
    for (let count = 0; count < 4; count += 1) releases.push(deep(`v${volume}`))
  expect(() => operations.reserveFolders('v9', 1)).toThrow('other listings')
  for (const release of releases) release()
  deep('v1')
})
