import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cachedFile } from './cached.ts'

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'sandlot-cached-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const step = { update() {} }

async function makeFile(scratch: string): Promise<string> {
  await writeFile(join(scratch, 'x'), 'made')
  return join(scratch, 'x')
}

test('a file is made once and reused afterwards', async () => {
  const path = join(folder, 'deep', 'product')
  expect(await cachedFile(path, step, makeFile)).toBe('made')
  expect(readFileSync(path, 'utf8')).toBe('made')
  expect(await readdir(join(folder, 'deep'))).toEqual(['product'])
  expect(await cachedFile(path, step, () => Promise.reject(new Error('again')))).toBe('found')
})

test('concurrent callers make the file once', async () => {
  let made = 0
  const make = (scratch: string) => {
    made++
    return makeFile(scratch)
  }
  const path = join(folder, 'version', 'product')
  const outcomes = await Promise.all([cachedFile(path, step, make), cachedFile(path, step, make)])
  expect(made).toBe(1)
  expect(outcomes.sort()).toEqual(['found', 'made'])
})

test('a failure leaves no partial file, and a retry works', async () => {
  const path = join(folder, 'version', 'product')
  const failing = cachedFile(path, step, async (scratch) => {
    await makeFile(scratch)
    throw new Error('broken pipe')
  })
  await expect(failing).rejects.toThrow('broken pipe')
  expect(existsSync(path)).toBe(false)
  expect(await readdir(folder)).toEqual(['version.lock'])
  expect(await cachedFile(path, step, makeFile)).toBe('made')
})
