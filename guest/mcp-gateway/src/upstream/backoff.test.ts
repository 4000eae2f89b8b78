import { expect, test } from 'vitest'
import { Backoff } from './backoff.ts'

test('waits twice as long after each failure, up to a minute, and gives up after ten', () => {
  const backoff = new Backoff()
  const delays = Array.from({ length: 11 }, () => backoff.next(0))
  expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000, undefined])
})

test('starts over for a server that had been well for a minute', () => {
  const backoff = new Backoff()
  for (let failure = 0; failure < 9; failure++) backoff.next(1000)
  expect(backoff.next(60_000)).toBe(500)
})
