import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  AVERAGE_CHUNK_BYTES,
  firstCut,
  MAX_CHUNK_BYTES,
  MIN_CHUNK_BYTES,
  MIN_HOLE_BYTES,
  PAGE_BYTES,
} from './page-chunker.ts'

const MB = 1024 * 1024

function cutsOf(file: Buffer) {
  const cuts = []
  for (let offset = 0; offset < file.length; ) {
    const { sizeBytes, isHole } = firstCut(file.subarray(offset))
    cuts.push({ offset, sizeBytes, isHole, content: file.subarray(offset, offset + sizeBytes) })
    offset += sizeBytes
  }
  return cuts
}

const hashes = (file: Buffer) =>
  new Set(cutsOf(file).map(({ content }) => createHash('sha256').update(content).digest('hex')))

test('chunks end at pages, within the bounds and near the average', () => {
  const cuts = cutsOf(randomBytes(32 * MB))
  const inner = cuts.slice(0, -1)
  expect(inner.every(({ sizeBytes }) => sizeBytes >= MIN_CHUNK_BYTES && sizeBytes <= MAX_CHUNK_BYTES)).toBe(
    true,
  )
  expect(inner.every(({ sizeBytes }) => sizeBytes % PAGE_BYTES === 0)).toBe(true)
  const average = (32 * MB) / cuts.length
  expect(average).toBeGreaterThan(AVERAGE_CHUNK_BYTES * 0.8)
  expect(average).toBeLessThan(AVERAGE_CHUNK_BYTES * 1.8)
})

test('an inserted or removed page changes only the chunks around it', () => {
  const file = randomBytes(16 * MB)
  const longer = Buffer.concat([file.subarray(0, 5 * MB), randomBytes(PAGE_BYTES), file.subarray(5 * MB)])
  const shorter = Buffer.concat([file.subarray(0, 9 * MB), file.subarray(9 * MB + PAGE_BYTES)])
  const known = hashes(file)
  for (const changed of [longer, shorter])
    expect([...hashes(changed)].filter((hash) => !known.has(hash)).length).toBeLessThanOrEqual(3)
})

test('a long run of zeros is a hole, from its first page to its last', () => {
  const file = Buffer.concat([randomBytes(3 * PAGE_BYTES), Buffer.alloc(3 * MB), randomBytes(100)])
  expect(cutsOf(file).map(({ sizeBytes, isHole }) => [sizeBytes, isHole])).toEqual([
    [3 * PAGE_BYTES, false],
    [3 * MB, true],
    [100, false],
  ])
})

test('a short run of zeros stays in its chunk', () => {
  const zeros = Buffer.alloc(MIN_HOLE_BYTES - PAGE_BYTES)
  const file = Buffer.concat([randomBytes(PAGE_BYTES), zeros, randomBytes(PAGE_BYTES)])
  expect(cutsOf(file).map(({ sizeBytes }) => sizeBytes)).toEqual([file.length])
})

test('zeros at the end of the file are a hole, whatever their number', () => {
  expect(firstCut(Buffer.alloc(1))).toEqual({ sizeBytes: 1, isHole: true })
  expect(firstCut(Buffer.alloc(2 * PAGE_BYTES + 7))).toEqual({ sizeBytes: 2 * PAGE_BYTES + 7, isHole: true })
})

test('equal pages still end a chunk at the upper bound', () => {
  const cuts = cutsOf(Buffer.alloc(3 * MB, 0xab))
  expect(cuts.every(({ sizeBytes }) => sizeBytes <= MAX_CHUNK_BYTES)).toBe(true)
})
