import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ReceivedFile } from './receive-file.ts'

let scratch: string
beforeEach(() => void (scratch = mkdtempSync(join(tmpdir(), 'sandlot-receive-'))))
afterEach(() => rmSync(scratch, { recursive: true }))

const limits = { maxBytes: 64 * 2 ** 20, spareBytes: 0 }

test('bytes come out as they came, whatever the sizes of the chunks, and the head first', async () => {
  const path = join(scratch, 'image')
  const body = Buffer.alloc(1_500_000)
  for (const at of [0, 65_535, 400_000, 1_499_999]) body[at] = at % 251 || 7
  const file = await ReceivedFile.create(path, 4096, limits)
  for (let at = 0, step = 1; at < body.length; at += step, step = (step * 7) % 99_991)
    await file.add(body.subarray(at, at + step))
  expect(await file.finish(Buffer.alloc(4096, 'h'))).toBe(4096 + body.length)
  await file.close()
  expect(readFileSync(path).equals(Buffer.concat([Buffer.alloc(4096, 'h'), body]))).toBe(true)
})

test('zeros take no disk, also at the end', async () => {
  const path = join(scratch, 'image')
  const file = await ReceivedFile.create(path, 4096, limits)
  await file.add(Buffer.alloc(40 * 2 ** 20))
  await file.finish(Buffer.alloc(4096, 1))
  await file.close()
  const { size, blocks } = statSync(path)
  expect(size).toBe(40 * 2 ** 20 + 4096)
  expect(blocks * 512).toBeLessThan(2 ** 20)
})

test('more than the limit is refused, holes or not, and so is a disk without room', async () => {
  const file = await ReceivedFile.create(join(scratch, 'image'), 4096, { ...limits, maxBytes: 8192 })
  await file.add(Buffer.alloc(4096))
  await expect(file.add(Buffer.alloc(1))).rejects.toThrow('more than the 0 MB that it may have')
  await file.close()
  const full = await ReceivedFile.create(join(scratch, 'full'), 4096, { ...limits, spareBytes: 2 ** 60 })
  await expect(full.add(Buffer.alloc(4096))).rejects.toMatchObject({ errorName: 'disk_full' })
  await full.close()
})

test('nothing that is there already is written to', async () => {
  writeFileSync(join(scratch, 'precious'), 'safe')
  symlinkSync('precious', join(scratch, 'link'))
  for (const name of ['precious', 'link'])
    await expect(ReceivedFile.create(join(scratch, name), 0, limits)).rejects.toThrow('EEXIST')
  expect(readFileSync(join(scratch, 'precious'), 'utf8')).toBe('safe')
})
