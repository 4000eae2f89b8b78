import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { DeadlineHeap } from './deadline-heap.ts'

beforeEach(() => void vi.useFakeTimers({ now: 0 }))
afterEach(() => void vi.useRealTimers())

function heapOf() {
  const expired: string[] = []
  return { expired, heap: new DeadlineHeap({ onExpired: (key) => expired.push(key) }) }
}

test('keys expire in the order of their deadlines, whatever the order they came in', () => {
  const { heap, expired } = heapOf()
  const times = Array.from({ length: 500 }, (_, i) => (i * 7919) % 1000)
  for (const [i, time] of times.entries()) heap.set(`${time}-${i}`, time)
  vi.advanceTimersByTime(1000)
  expect(expired.map((key) => Number(key.split('-')[0]))).toEqual([...times].sort((a, b) => a - b))
  heap.close()
})

test('a moved deadline replaces the old one, also when it is earlier', () => {
  const { heap, expired } = heapOf()
  heap.set('later', 100)
  heap.set('later', 500)
  heap.set('sooner', 800)
  heap.set('sooner', 50)
  vi.advanceTimersByTime(200)
  expect(expired).toEqual(['sooner'])
  vi.advanceTimersByTime(300)
  expect(expired).toEqual(['sooner', 'later'])
  heap.close()
})

test('a deleted key never expires', () => {
  const { heap, expired } = heapOf()
  heap.set('a', 10)
  heap.delete('a')
  vi.advanceTimersByTime(1000)
  expect(expired).toEqual([])
})

test('deadlines further away than a timer can wait are kept', () => {
  const { heap, expired } = heapOf()
  const farMs = 2 ** 31 * 3
  heap.set('far', farMs)
  vi.advanceTimersByTime(farMs - 1)
  expect(expired).toEqual([])
  vi.advanceTimersByTime(1)
  expect(expired).toEqual(['far'])
})

test('a deadline that is moved ten thousand times does not leave ten thousand entries, and expires once', () => {
  const { heap, expired } = heapOf()
  for (let i = 0; i < 10_000; i++) heap.set('a', 1000 + i)
  vi.advanceTimersByTime(20_000)
  expect(expired).toEqual(['a'])
  expect(heap.size).toBe(0)
})
