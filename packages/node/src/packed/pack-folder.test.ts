import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { FolderStore } from '../objects/folder-store.ts'
import { chunkKey, manifestKey } from '../objects/object-store.ts'
import { chunksOf, decodeManifest } from './manifest.ts'
import { packFolder } from './pack-folder.ts'
import { filesBelow, writeRawFolder } from './raw-folders.fixture.ts'

const MB = 1024 * 1024

let dir: string
let store: FolderStore
let rawDir: string

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-pack-folder-'))
  store = await FolderStore.open(join(dir, 'store'))
  rawDir = await writeRawFolder(join(dir, 'raw'), { 'pages.img': randomBytes(2 * MB) })
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const chunkFiles = () => filesBelow(join(dir, 'store/chunks'))

test('a chunk that vanishes before the manifest is written is written again', async () => {
  const flush = store.flush.bind(store)
  const flushing = vi.spyOn(store, 'flush').mockImplementationOnce(async () => {
    await rm((await chunkFiles())[0]!)
    await flush()
  })
  await packFolder(store, { id: 'one', rawDir }, { checkWanted: () => {} })
  const checkpoint = decodeManifest('one', (await store.get(manifestKey('one')))!, store.name)
  for (const chunk of chunksOf(checkpoint).keys()) expect(await store.head(chunkKey(chunk))).toBeDefined()
  expect(flushing).toHaveBeenCalledTimes(2)
})

test('when chunks vanish in every attempt, no manifest is written, and the error suggests causes', async () => {
  vi.spyOn(store, 'flush').mockImplementation(async () => rm((await chunkFiles())[0]!))
  await expect(packFolder(store, { id: 'one', rawDir }, { checkWanted: () => {} })).rejects.toThrow(
    /vanished from folder .* in each of 3 attempts/,
  )
  expect(await store.head(manifestKey('one'))).toBeUndefined()
})

test('a pack that has been cancelled ends without a manifest', async () => {
  const checkWanted = () => {
    throw new Error('not wanted')
  }
  await expect(packFolder(store, { id: 'one', rawDir }, { checkWanted })).rejects.toThrow('not wanted')
  expect(await store.head(manifestKey('one'))).toBeUndefined()
})
