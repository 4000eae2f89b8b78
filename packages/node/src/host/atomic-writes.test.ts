import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { removeUnfinished, WRITING_PREFIX, writeAtomically, writeFileAtomically } from './atomic-writes.ts'

let dir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-atomic-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('a file appears complete, readable only for its owner, and replaces an earlier one', async () => {
  const path = join(dir, 'file')
  await writeFileAtomically(path, 'old')
  await writeFileAtomically(path, 'new', { isFlushed: true })
  expect(await readFile(path, 'utf8')).toBe('new')
  expect((await stat(path)).mode & 0o777).toBe(0o600)
  expect(await readdir(dir)).toEqual(['file'])
})

test('a folder is hidden until it is complete', async () => {
  const path = join(dir, 'folder')
  await writeAtomically(path, async (writing) => {
    await mkdir(writing)
    expect(await readdir(dir)).toEqual([expect.stringMatching(/^\.writing-/)])
  })
  expect(await readdir(dir)).toEqual(['folder'])
})

test.each(['write', 'publish'] as const)('nothing is left when %s fails', async (failing) => {
  const fail = () => Promise.reject(new Error('no room'))
  const write = failing === 'write' ? fail : (writing: string) => writeFile(writing, 'x')
  const publish = failing === 'publish' ? fail : undefined
  await expect(writeAtomically(join(dir, 'a'), write, { publish })).rejects.toThrow('no room')
  expect(await readdir(dir)).toEqual([])
})

test('a write with a fixed name replaces leftovers of a crash, and removeUnfinished removes them', async () => {
  const leftover = join(dir, `${WRITING_PREFIX}a`)
  await mkdir(join(leftover, 'half'), { recursive: true })
  await writeAtomically(join(dir, 'a'), (writing) => mkdir(writing).then(() => {}), { name: 'a' })
  expect(await readdir(join(dir, 'a'))).toEqual([])
  await mkdir(leftover)
  await removeUnfinished(dir)
  expect(await readdir(dir)).toEqual(['a'])
  await removeUnfinished(join(dir, 'missing'))
})
