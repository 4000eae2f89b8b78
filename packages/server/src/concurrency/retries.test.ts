import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Retries } from './retries.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('work is retried after 1, 2, 4 … seconds, at most 60 apart, until it succeeds', async () => {
  const retries = new Retries(() => {})
  const at: number[] = []
  const start = Date.now()
  retries.later('it', async () => {
    at.push((Date.now() - start) / 1000)
    if (at.length < 9) throw new Error('no')
  })
  await vi.advanceTimersByTimeAsync(600_000)
  expect(at).toEqual([1, 3, 7, 15, 31, 63, 123, 183, 243])
})

test('nothing is retried after close', async () => {
  const retries = new Retries(() => {})
  let tries = 0
  retries.later('it', async () => void tries++)
  retries.close()
  retries.later('it', async () => void tries++)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(tries).toBe(0)
})
