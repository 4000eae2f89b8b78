import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checksumsOf, findDamage } from './checksums.ts'

let dir: string
beforeEach(() => void (dir = mkdtempSync(join(tmpdir(), 'sandlot-checksums-'))))
afterEach(() => rmSync(dir, { recursive: true, force: true }))

test('every file below a folder has a checksum, whatever its name', async () => {
  mkdirSync(join(dir, 'sub'))
  for (const name of ['-rf', 'with space', 'sub/ü']) writeFileSync(join(dir, name), name)
  const sums = await checksumsOf(dir, false)
  expect(Object.keys(sums).sort()).toEqual(['-rf', 'sub/ü', 'with space'])
  expect(sums['-rf']).toEqual({ crc: expect.stringMatching(/^\d+$/), sizeBytes: 3 })
  expect(await findDamage(dir, sums)).toBeUndefined()
})

test('an empty folder has no checksums', async () => {
  expect(await checksumsOf(dir, false)).toEqual({})
})

test('each of 64 single flipped bits is found', async () => {
  const path = join(dir, 'f')
  const bytes = Buffer.alloc(4096, 7)
  writeFileSync(path, bytes)
  const sums = await checksumsOf(dir, false)
  for (let i = 0; i < 64; i++) {
    const flipped = Buffer.from(bytes)
    flipped[i * 61]! ^= 1 << (i % 8)
    writeFileSync(path, flipped)
    expect(await findDamage(dir, sums)).toMatch(/^f has changed/)
  }
  writeFileSync(path, bytes)
  expect(await findDamage(dir, sums)).toBeUndefined()
})
