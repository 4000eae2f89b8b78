import { expect, test } from 'vitest'
import { RateLimiter } from './rate-limiter.ts'

test('a burst passes, then as many as the rate, for each owner apart', () => {
  const limiter = new RateLimiter<object>(10, 3)
  const [one, other] = [{}, {}]
  const passed = (owner: object, atMs: number, count: number) =>
    Array.from({ length: count }, () => limiter.take(owner, atMs)).filter(({ mayPass }) => mayPass).length
  expect(passed(one, 0, 10)).toBe(3)
  expect(passed(other, 0, 2)).toBe(2)
  expect(passed(one, 200, 10)).toBe(2)
  expect(passed(one, 60_000, 10)).toBe(3)
})

test('one refusal within a second is told', () => {
  const limiter = new RateLimiter<object>(0.001, 1)
  const owner = {}
  limiter.take(owner, 0)
  expect([10, 20, 1_009, 1_010, 1_020].map((atMs) => limiter.take(owner, atMs))).toEqual([
    { mayPass: false, isToldNow: true },
    { mayPass: false, isToldNow: false },
    { mayPass: false, isToldNow: false },
    { mayPass: false, isToldNow: true },
    { mayPass: false, isToldNow: false },
  ])
})
