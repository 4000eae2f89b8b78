import { mkdir, mkdtemp, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FolderStore } from './folder-store.ts'
import { storeContract } from './object-store.contract.ts'

let dir: string
let store: FolderStore

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-local-store-'))
  store = await FolderStore.open(dir)
})
afterEach(() => rm(dir, { recursive: true, force: true }))

storeContract(() => store)

test('a sweep spares an object that was touched after the sweep had listed it', async () => {
  await store.put('chunks/aa/one', Buffer.from('1'))
  const sweepStartedMs = Date.now() - 1000
  await utimes(join(dir, 'chunks/aa/one'), 1, 1)
  expect(await store.touch('chunks/aa/one')).toMatchObject({ sizeBytes: 1 })
  expect(await store.delete('chunks/aa/one', { ifUnmodifiedSinceMs: sweepStartedMs })).toBe(false)
  expect(await store.head('chunks/aa/one')).toBeDefined()
})

test('touching a missing object returns undefined', async () => {
  expect(await store.touch('chunks/aa/none')).toBeUndefined()
})

test('recovery removes half-written files and restores objects that an interrupted delete had moved away', async () => {
  await store.put('chunks/aa/one', Buffer.from('1'))
  await rename(join(dir, 'chunks/aa/one'), join(dir, '.tmp', 'condemned-chunks%2Faa%2Fone'))
  await writeFile(join(dir, '.tmp', 'half'), 'x')
  await mkdir(join(dir, '.tmp', 'folder'))
  expect(await store.recover()).toBe(2)
  expect((await store.get('chunks/aa/one'))?.toString()).toBe('1')
})

test('temporary files are not objects', async () => {
  await writeFile(join(dir, '.tmp', 'half'), 'x')
  await expect(store.get('.tmp/half')).rejects.toThrow(/object key/)
})
