import { expect, test } from 'vitest'
import { TokenBuckets } from './token-bucket.ts'

test('the requests of one second pass at once, then one for each interval; the wait is in whole seconds', () => {
  let now = 0
  const buckets = new TokenBuckets(() => now)
  expect([1, 2, 3].map(() => buckets.take('k', 2))).toEqual([0, 0, 1])
  now = 500
  expect([buckets.take('k', 2), buckets.take('k', 2)]).toEqual([0, 1])
  expect(buckets.take('other', 2)).toBe(0)
})

test('a rate below one a second says how long to wait', () => {
  const buckets = new TokenBuckets(() => 0)
  expect([buckets.take('k', 0.1), buckets.take('k', 0.1)]).toEqual([0, 10])
})

test('several are taken at once or not at all; a full bucket allows more than the burst, which is paid back later', () => {
  let now = 0
  const buckets = new TokenBuckets(() => now)
  expect([buckets.takeMany('k', 4, 3), buckets.takeMany('k', 4, 2)]).toEqual([0, 1])
  expect([buckets.takeMany('k', 4, 1), buckets.takeMany('k', 4, 100)]).toEqual([0, 1])
  now = 1000
  expect(buckets.takeMany('k', 4, 100)).toBe(0)
  expect(buckets.takeMany('k', 4, 1)).toBe(25)
})
