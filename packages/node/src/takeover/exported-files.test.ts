import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExportedFile } from '@sandlot/protocol/node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { run } from '../host/run.ts'
import { FolderStore } from '../objects/folder-store.ts'
import { type RemoteStore, sealBucket } from '../objects/sealed-store.ts'
import { AdoptedBases } from './adopted-bases.ts'
import { downloadFile, identify, uploadFile } from './exported-files.ts'

/** Slightly more than one part, nearly all of it zeros. */
const content = Buffer.concat([randomBytes(100_000), Buffer.alloc(16 * 2 ** 20), randomBytes(50_000)])

let dir: string
let bucket: FolderStore
let store: RemoteStore
let path: string
let file: ExportedFile
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-carried-'))
  bucket = await FolderStore.open(join(dir, 'store'))
  store = sealBucket(bucket, ['a secret of at least thirty-two characters'])
  path = join(dir, 'image')
  await writeFile(path, content)
  await run('touch', ['-d', '@1700000000.123456789', path])
  file = await identify(path)
  await uploadFile(store, path, file)
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const target = () => join(dir, 'there', 'image.erofs')
const download = () => downloadFile(store, file, target(), { mode: 0o644, what: 'the image' })

const partKey = (part: number) => `bases/${store.blind(file.sha256)}/000${part}.zst`

test('a file arrives with its bytes, and its time in nanoseconds', async () => {
  await download()
  expect((await readFile(target())).equals(content)).toBe(true)
  expect((await stat(target(), { bigint: true })).mtimeNs).toBe(1_700_000_000_123_456_789n)
})

test('a missing part is reported, and no file is left', async () => {
  const missing = partKey(1)
  await store.delete(missing)
  await expect(download()).rejects.toMatchObject({
    errorName: 'not_found',
    message: expect.stringContaining(`${missing} is missing`),
  })
  expect(existsSync(target())).toBe(false)
})

test('a part with other bytes is damaged, and no file is left', async () => {
  await store.put(partKey(1), (await store.get(partKey(0)))!)
  await expect(download()).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
  expect(existsSync(target())).toBe(false)
})

test('the owner of the bucket can neither swap parts nor recognize the file', async () => {
  const keys: string[] = []
  for await (const { key } of bucket.list('sealed/')) keys.push(key)
  expect(keys.join()).not.toContain(file.sha256)
  const [first, second] = ['0000.zst', '0001.zst'].map((part) => keys.find((key) => key.endsWith(part))!)
  await bucket.put(second!, (await bucket.get(first!))!)
  await expect(download()).rejects.toMatchObject({
    errorName: 'checkpoint_damaged',
    message: expect.stringContaining('is not what was written there'),
  })
  expect(existsSync(target())).toBe(false)
})

test('a file that changes during the upload does not become complete', async () => {
  const other = { ...file, sha256: 'a'.repeat(64) }
  await expect(uploadFile(store, path, other)).rejects.toMatchObject({ errorName: 'conflict' })
  expect(await store.head(`bases/${store.blind(other.sha256)}/complete`)).toBeUndefined()
})

describe('an adopted base', () => {
  const ID = `c${'a'.repeat(20)}`
  const NEXT = `c${'b'.repeat(20)}`
  let adopted: AdoptedBases
  beforeEach(() => {
    adopted = new AdoptedBases(join(dir, 'adopted'))
  })

  test('is kept while any checkpoint needs it, also a later one, and removed with the last', async () => {
    await adopted.fetch(store, ID, { image: file, envd: file })
    const place = (await adopted.placeOf(ID))!
    await adopted.keep(NEXT, place)
    await adopted.keep('unrelated', { imagePath: '/elsewhere/image', guestDir: '/elsewhere' })
    expect(await adopted.placeOf('unrelated')).toBeUndefined()
    for (const id of [ID, NEXT])
      await utimes(join(dir, 'adopted', 'checkpoints', `${id}.json`), 1_700_000_000, 1_700_000_000)
    await adopted.collect(new Set([NEXT]), [])
    expect(await adopted.placeOf(ID)).toBeUndefined()
    expect(existsSync(place.imagePath)).toBe(true)
    await adopted.collect(new Set(), [place.imagePath])
    expect(existsSync(place.imagePath)).toBe(true)
    await adopted.collect(new Set(), [])
    expect(existsSync(place.imagePath)).toBe(false)
  })

  test('is kept while its checkpoint is about to appear', async () => {
    await adopted.fetch(store, ID, { image: file, envd: file })
    await adopted.collect(new Set(), [])
    expect(existsSync((await adopted.placeOf(ID))!.imagePath)).toBe(true)
  })
})
