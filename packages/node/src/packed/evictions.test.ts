import { expect, test } from 'vitest'
import { planEvictions } from './evictions.ts'
import type { PackedCheckpoint } from './manifest.ts'

function checkpoint(id: string, chunks: string[]): [string, PackedCheckpoint] {
  const extents = chunks.map((chunk) => ({ sizeBytes: 100, chunk, storedBytes: 10 }))
  return [id, { id, packedAtMs: 0, files: [{ name: 'f', sizeBytes: 100 * chunks.length, extents }] }]
}
const plan = (
  local: Array<[string, PackedCheckpoint]>,
  evictable: string[],
  excessBytes: number,
  kept: string[] = [],
) => {
  const { ids, chunks, bytes } = planEvictions(new Map(local), evictable, new Set(kept), excessBytes)
  return { ids, chunks: chunks.map(({ chunk }) => chunk).sort(), bytes }
}

test('copies are evicted in the given order until enough is free', () => {
  const local = [checkpoint('a', ['1', '2']), checkpoint('b', ['3']), checkpoint('c', ['4'])]
  expect(plan(local, ['a', 'b', 'c'], 25)).toEqual({ ids: ['a', 'b'], chunks: ['1', '2', '3'], bytes: 30 })
  expect(plan(local, ['c', 'a'], 5)).toEqual({ ids: ['c'], chunks: ['4'], bytes: 10 })
})

test('a shared chunk is evicted with the last copy that uses it', () => {
  const local = [checkpoint('a', ['1', '2']), checkpoint('b', ['2', '3']), checkpoint('c', ['3'])]
  expect(plan(local, ['a'], 100)).toEqual({ ids: ['a'], chunks: ['1'], bytes: 10 })
  expect(plan(local, ['a', 'b'], 100)).toEqual({ ids: ['a', 'b'], chunks: ['1', '2'], bytes: 20 })
})

test('a chunk in use is kept', () => {
  expect(plan([checkpoint('a', ['1', '2'])], ['a'], 100, ['2'])).toMatchObject({ chunks: ['1'], bytes: 10 })
})

test('a chunk that a checkpoint has twice is freed once', () => {
  expect(plan([checkpoint('a', ['1', '1'])], ['a'], 100)).toEqual({ ids: ['a'], chunks: ['1'], bytes: 10 })
})

test('nothing is evicted when no copy is evictable', () => {
  expect(plan([checkpoint('a', ['1'])], [], 100)).toEqual({ ids: [], chunks: [], bytes: 0 })
})
