import { expect, test } from 'vitest'
import { describeCatalog, detailsOf } from './describe.ts'
import { roomForCatalog } from './floor.ts'

const estimate = { seconds: 270, megabytes: 3072 }

test('one line tells how many templates are ready, and time and space for the others', () => {
  const ready = ['a', 'b', 'c'].map((name) => ({ name, state: 'ready' as const }))
  const waiting = ['d', 'e'].map((name) => ({ name, state: 'waiting' as const, estimate }))
  const left = { seconds: 540, megabytes: 6144 }
  const out = { name: 'f', state: 'left-out' as const, reason: 'no room' }
  expect(describeCatalog({ templates: [...ready, ...waiting, out], readyCount: 3, left })).toBe(
    '3 of 5, about 9 minutes, 6 GB',
  )
  expect(describeCatalog({ templates: ready, readyCount: 3, left: { seconds: 0, megabytes: 0 } })).toBe(
    '3 of 3 ready',
  )
})

test('a missing template is listed with the command that builds it', () => {
  const templates = [
    { name: 'a', state: 'building' as const, sinceMs: 1_000, step: '[builder 2/5] RUN x' },
    { name: 'b', state: 'removed' as const },
    { name: 'c', state: 'left-out' as const, reason: 'no room' },
  ]
  const details = detailsOf({ templates, readyCount: 0, left: estimate }, 42_000)
  expect(details).toEqual([
    'a: being built for 41 s, now [builder 2/5] RUN x',
    'b: removed; `sandlot templates build b` builds it again',
    'c: left out: no room; `sandlot templates build c` builds it nevertheless',
  ])
})

test('the floor is the value of the setting, but at most a fifth of a small disk', () => {
  const GB = 2 ** 30
  expect(roomForCatalog({ freeBytes: 30 * GB, sizeBytes: 200 * GB }, 10 * 1024)).toBe(20 * GB)
  expect(roomForCatalog({ freeBytes: 6 * GB, sizeBytes: 20 * GB }, 10 * 1024)).toBe(2 * GB)
  expect(roomForCatalog({ freeBytes: 3 * GB, sizeBytes: 200 * GB }, 10 * 1024)).toBe(-7 * GB)
})
