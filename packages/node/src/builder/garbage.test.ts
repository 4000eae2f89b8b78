import { expect, test } from 'vitest'
import { garbageOf } from './garbage.ts'

const HOUR = 3_600_000
const now = 100 * HOUR
const item = (key: string, hoursAgo: number, sizeBytes: number) => ({
  key,
  sizeBytes,
  usedAtMs: now - hoursAgo * HOUR,
})
const keys = (items: Array<{ key: string }>) => items.map(({ key }) => key)

test('old items are removed, however small they are', () => {
  const items = [item('new', 1, 10), item('old', 30, 1)]
  expect(keys(garbageOf(items, { maxAgeMs: 24 * HOUR, maxBytes: 1000 }, now))).toEqual(['old'])
})

test('beyond the budget the oldest items are removed, and no more than needed', () => {
  const items = [item('c', 1, 40), item('a', 3, 40), item('b', 2, 40)]
  expect(keys(garbageOf(items, { maxAgeMs: 24 * HOUR, maxBytes: 80 }, now))).toEqual(['a'])
})

test('items in use and recently used items are kept', () => {
  const items = [item('used', 50, 100), item('fresh', 0, 100), item('idle', 1, 100)]
  const limits = { maxAgeMs: 24 * HOUR, maxBytes: 0 }
  expect(keys(garbageOf(items, limits, now, ({ key }) => key === 'used'))).toEqual(['idle'])
})
