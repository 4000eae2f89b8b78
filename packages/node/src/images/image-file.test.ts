import { mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageFile } from './image-file.ts'

let scratch: string
beforeEach(() => void (scratch = mkdtempSync(join(tmpdir(), 'sandlot-image-file-'))))
afterEach(() => rmSync(scratch, { recursive: true }))

const limits = { maxBytes: 2 ** 20, spareBytes: 0 }
const never = new AbortController().signal
const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

test('an existing path is not written to', async () => {
  writeFileSync(join(scratch, 'precious'), 'safe')
  symlinkSync('precious', join(scratch, 'link'))
  for (const name of ['precious', 'link'])
    await expect(ImageFile.create(join(scratch, name))).rejects.toThrow('EEXIST')
  expect(readFileSync(join(scratch, 'precious'), 'utf8')).toBe('safe')
})

test('a writer is aborted when the file exceeds the limit, holes included', async () => {
  const file = await ImageFile.create(join(scratch, 'image'))
  const writing = file.watch(limits, never, (signal) => {
    truncateSync(file.path, 2 ** 40)
    return untilAborted(signal)
  })
  await expect(writing).rejects.toThrow('larger than the allowed 1 MB')
  await file.remove()
})

test('a writer is aborted when the disk has no room', async () => {
  const file = await ImageFile.create(join(scratch, 'image'))
  const full = { ...limits, spareBytes: 2 ** 60 }
  await expect(file.watch(full, never, untilAborted)).rejects.toMatchObject({ errorName: 'disk_full' })
  await file.remove()
})

test('a finished file that is too large, or differs from the reported size, is rejected', async () => {
  for (const [size, said, words] of [
    [2 ** 40, 2 ** 40, 'larger than the allowed 1 MB'],
    [5000, 4096, 'has 5000 bytes'],
  ] as const) {
    const file = await ImageFile.create(join(scratch, 'image'))
    truncateSync(file.path, size)
    await expect(file.finish(said, limits)).rejects.toThrow(words)
    await file.remove()
  }
})

test('a closed file has no descriptor', async () => {
  const file = await ImageFile.create(join(scratch, 'image'))
  expect(file.fd).toBeGreaterThan(2)
  await file.finish(0, limits)
  expect(file.fd).toBe(-1)
  await file.remove()
})
