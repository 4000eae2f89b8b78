import { expect, test } from 'vitest'
import { OVERLAP_MS, SIGNING_MS, scheduleOf } from './schedule.ts'

const START = 1_790_000_000_000
const key = (sequence: number, signsAtMs: number) => ({ sequence, signsAtMs })
const first = key(1, START)
const second = key(2, START + SIGNING_MS)

test('the first key signs at once', () => {
  expect(scheduleOf([], START)).toEqual({
    signing: undefined,
    next: { sequence: 1, signsAtMs: START },
    outdated: undefined,
  })
  expect(scheduleOf([first], START)).toEqual({ signing: first, next: undefined, outdated: undefined })
})

test('the next key is published before it signs', () => {
  const atMs = START + SIGNING_MS - OVERLAP_MS
  expect(scheduleOf([first], atMs - 1).next).toBeUndefined()
  expect(scheduleOf([first], atMs)).toEqual({ signing: first, next: second, outdated: undefined })
  expect(scheduleOf([first, second], START + SIGNING_MS - 1).signing).toBe(first)
  expect(scheduleOf([first, second], START + SIGNING_MS).signing).toBe(second)
})

test('a key that no longer signs stays published for as long as its tokens may be in use', () => {
  const atMs = START + SIGNING_MS + OVERLAP_MS
  expect(scheduleOf([first, second], atMs - 1).outdated).toBeUndefined()
  expect(scheduleOf([first, second], atMs).outdated).toBe(1)
})

test('after months without a server the old key signs until the next one was published for a while', () => {
  const atMs = START + 5 * SIGNING_MS
  expect(scheduleOf([first], atMs)).toEqual({
    signing: first,
    next: { sequence: 2, signsAtMs: atMs + OVERLAP_MS },
    outdated: undefined,
  })
})

test('a clock that was set back leaves a key that signs', () => {
  expect(scheduleOf([first, second], START - 1000).signing).toBe(first)
})
