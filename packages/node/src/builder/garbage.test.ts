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

test('what was not used for too long goes, however little it is', () => {
  const items = [item('new', 1, 10), item('old', 30, 1)]
  expect(keys(garbageOf(items, { maxAgeMs: 24 * HOUR, maxBytes: 1000 }, now))).toEqual(['old'])
})

test('over the budget the oldest go, and no more than it takes', () => {
  const items = [item('c', 1, 40), item('a', 3, 40), item('b', 2, 40)]
  expect(keys(garbageOf(items, { maxAgeMs: 24 * HOUR, maxBytes: 80 }, now))).toEqual(['a'])
})

test('what is in use stays, and so does what a build may have just found', () => {
  const items = [item('used', 50, 100), item('fresh', 0, 100), item('idle', 1, 100)]
  const limits = { maxAgeMs: 24 * HOUR, maxBytes: 0 }
  expect(keys(garbageOf(items, limits, now, ({ key }) => key === 'used'))).toEqual(['idle'])
})
