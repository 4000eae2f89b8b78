import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { encodeManifest } from '../packed/manifest.ts'
import { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import { filesBelow, folderHashes, writeRawFolder } from '../packed/raw-folders.fixture.ts'
import { createS3Server, type S3Server } from '../test-support/versitygw.ts'
import { storeContract } from './object-store.contract.ts'
import type { ObjectStore } from './object-store.ts'
import { S3Store } from './s3-store.ts'
import { sealBucket } from './sealed-store.ts'

// because the packing process is started some dozens of times
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), `sandlot-compile-cache-${process.getuid?.()}`)

const SECRET = 'a secret of at least thirty-two characters'
const OTHER = 'another secret of thirty-two characters'
const MARKER = 'MARKER-that-nobody-may-read-in-the-bucket'
const MB = 1024 * 1024
const logger = pino({ level: 'silent' })

vi.setConfig({ testTimeout: 60_000 })

let dir: string
let server: S3Server
const opened: PackedCheckpoints[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-sealed-'))
  server = await createS3Server(dir)
  await server.start()
}, 600_000)
afterEach(async () => {
  for (const checkpoints of opened.splice(0)) await checkpoints.close()
  for (const name of await readdir(dir))
    if (name !== 'buckets') await rm(join(dir, name), { recursive: true })
  for (const name of await readdir(server.bucketDir))
    await rm(join(server.bucketDir, name), { recursive: true })
})
afterAll(async () => {
  await server.kill()
  await rm(dir, { recursive: true, force: true })
})

async function machine(name: string, ...secrets: [string, ...string[]]): Promise<PackedCheckpoints> {
  const remote = sealBucket(new S3Store(server.options), secrets)
  const checkpoints = await PackedCheckpoints.open({ dir: join(dir, name), remote, logger, firstRetryMs: 50 })
  opened.push(checkpoints)
  return checkpoints
}

/** Packs and uploads a folder on a separate machine. */
async function uploaded(id: string, content: Buffer, secret = SECRET): Promise<string> {
  const one = await machine(`from-${id}`, secret)
  const rawDir = await writeRawFolder(join(dir, 'raw', id), { 'pages.img': content })
  await one.pack(id, rawDir)
  expect(await one.whenUploaded(id)).toMatchObject({ state: 'remote' })
  return rawDir
}

const inBucket = async (part: string): Promise<string[]> =>
  (await filesBelow(server.bucketDir)).filter((path) => path.includes(part)).sort()
/** Writes through the service, because it verifies its own files. */
async function put(path: string, content: Uint8Array): Promise<void> {
  const bucket = new S3Store(server.options)
  await bucket.put(path.slice(server.bucketDir.length + 1), content)
  bucket.close()
}
const copy = async (from: string, to: string) => put(to, await readFile(from))
async function flip(path: string, at: number): Promise<void> {
  const content = await readFile(path)
  content[at]! ^= 1
  await put(path, content)
}
const target = () => join(dir, 'target')
const damaged = (message: RegExp) => ({
  errorName: 'checkpoint_damaged',
  message: expect.stringMatching(message),
})

describe('as a store', () => {
  let store: ObjectStore
  beforeEach(() => {
    store = sealBucket(new S3Store(server.options), [SECRET])
  })
  afterEach(() => store.close())
  // sizes as in the bucket
  storeContract(() => ({
    ...store,
    head: async (key) => withoutSeal(await store.head(key)),
    async *list(prefix) {
      for await (const found of store.list(prefix)) yield withoutSeal(found)!
    },
  }))
})

const withoutSeal = <T extends { sizeBytes: number }>(found: T | undefined): T | undefined =>
  found && { ...found, sizeBytes: found.sizeBytes - sealBytes }
const sealBytes = sealBucket({} as ObjectStore, [SECRET]).overheadBytes

test('neither content nor names in the bucket reveal what was saved', async () => {
  const content = Buffer.concat([Buffer.from(MARKER.repeat(1000)), randomBytes(MB)])
  await uploaded('a', content)
  const files = await inBucket('')
  expect(files.length).toBeGreaterThan(2)
  const chunks = (await filesBelow(join(dir, 'from-a', 'chunks'))).map((path) => path.slice(-64))
  for (const path of files) {
    const bytes = await readFile(path)
    for (const readable of [MARKER, 'pages.img', ...chunks]) expect(bytes.includes(readable)).toBe(false)
    // a zstd frame, at the beginning or after the header of a sealed object
    for (const at of [0, 32])
      expect(bytes.subarray(at, at + 4).equals(Buffer.from([0x28, 0xb5, 0x2f, 0xfd]))).toBe(false)
    expect(chunks).not.toContain(path.slice(-64))
  }
})

test('machines with the same secret share equal content, others do not', async () => {
  const content = randomBytes(MB)
  await uploaded('a', content)
  const before = (await inBucket('/chunks/')).length
  await uploaded('b', content)
  expect(await inBucket('/chunks/')).toHaveLength(before)
  await uploaded('c', content, OTHER)
  expect(await inBucket('/chunks/')).toHaveLength(2 * before)
})

describe('the owner of the bucket', () => {
  test('cannot change a chunk unnoticed', async () => {
    await uploaded('a', randomBytes(MB))
    await flip((await inBucket('/chunks/'))[0]!, 999)
    const two = await machine('two', SECRET)
    await expect(two.expand('a', target())).rejects.toMatchObject(
      damaged(/checkpoint 'a' is damaged: chunk .* is not what was written there/),
    )
    expect(await readdir(dir)).not.toContain('target')
  })

  test('cannot swap two chunks unnoticed', async () => {
    await uploaded('a', randomBytes(3 * MB))
    const [one, other] = await inBucket('/chunks/')
    await copy(one!, other!)
    await expect((await machine('two', SECRET)).expand('a', target())).rejects.toMatchObject(
      damaged(/is not what was written there/),
    )
  })

  test('cannot truncate a chunk unnoticed', async () => {
    await uploaded('a', randomBytes(MB))
    const [chunk] = await inBucket('/chunks/')
    await put(chunk!, (await readFile(chunk!)).subarray(0, 30))
    await expect((await machine('two', SECRET)).expand('a', target())).rejects.toMatchObject(
      damaged(/has 30 bytes; the smallest sealed object has 48/),
    )
  })

  test('cannot make Sandlot read a huge object in place of a chunk', async () => {
    await uploaded('a', randomBytes(MB))
    await put((await inBucket('/chunks/'))[0]!, Buffer.alloc(40 * MB))
    await expect((await machine('two', SECRET)).expand('a', target())).rejects.toMatchObject(
      damaged(/has 41943040 bytes; valid objects have at most/),
    )
  })

  test('cannot swap two manifests unnoticed', async () => {
    await uploaded('a', randomBytes(MB))
    await uploaded('b', randomBytes(MB))
    const [a, b] = await inBucket('/checkpoints/')
    await copy(b!, a!)
    const two = await machine('two', SECRET)
    await expect(two.expand('a', target())).rejects.toMatchObject(damaged(/is not what was written there/))
    await expect(two.learn('a')).rejects.toMatchObject(damaged(/is not what was written there/))
  })

  test('cannot forge a manifest under any key', async () => {
    await uploaded('a', randomBytes(MB))
    const forged = encodeManifest({
      id: 'f',
      packedAtMs: 1,
      files: [{ name: 'pages.img', sizeBytes: 4096, extents: [{ sizeBytes: 4096 }] }],
    })
    const [place] = await inBucket('/checkpoints/')
    await put(place!, forged)
    const two = await machine('two', SECRET)
    await expect(two.expand('a', target())).rejects.toMatchObject(damaged(/is not sealed/))
    await put(join(server.bucketDir, 'checkpoints/f.json'), forged)
    await expect(two.expand('f', target())).rejects.toMatchObject(damaged(/not sealed with the key/))
    await expect(two.learn('f')).rejects.toMatchObject(damaged(/not sealed with the key/))
  })

  test('finds nothing with another secret', async () => {
    await uploaded('a', randomBytes(MB))
    await expect((await machine('two', OTHER)).expand('a', target())).rejects.toMatchObject({
      errorName: 'not_found',
    })
  })
})

describe('data that was written before', () => {
  test('with the key of the home is found after a secret is set, and sealed again with the secret', async () => {
    const rawDir = await uploaded('a', randomBytes(MB))
    await opened.pop()!.close()
    await rm(join(dir, 'from-a', 'chunks'), { recursive: true })
    await rm(join(dir, 'from-a', 'checkpoints'), { recursive: true })
    const later = await machine('from-a', OTHER, SECRET)
    await later.expand('a', target())
    expect(await folderHashes(target())).toEqual(await folderHashes(rawDir))
    expect(await later.whenUploaded('a')).toMatchObject({ state: 'remote' })
    await (await machine('two', OTHER)).expand('a', join(dir, 'again'))
    expect(await folderHashes(join(dir, 'again'))).toEqual(await folderHashes(rawDir))
    expect(await inBucket('/checkpoints/')).toHaveLength(1)
  })

  test('with a secret that is no longer known is reported as such', async () => {
    await uploaded('a', randomBytes(MB))
    await opened.pop()!.close()
    await rm(join(dir, 'from-a', 'chunks'), { recursive: true })
    await rm(join(dir, 'from-a', 'checkpoints'), { recursive: true })
    const later = await machine('from-a', OTHER)
    await expect(later.expand('a', target())).rejects.toMatchObject(
      damaged(/'a' is in bucket .* under another secret \(key [0-9a-f]{16}\): set checkpointSecret/),
    )
  })

  test('unsealed is uploaded again, sealed, and the unsealed copy becomes garbage', async () => {
    const rawDir = await writeRawFolder(join(dir, 'raw', 'a'), { 'pages.img': randomBytes(MB) })
    const { local } = await leftByAnEarlierVersion('a', rawDir)
    // evicted locally, so that the bucket has the only copy
    await rm(join(local, 'chunks'), { recursive: true })
    await rm(join(local, 'checkpoints'), { recursive: true })
    const one = await machine('old', SECRET)
    expect(await one.whenUploaded('a')).toMatchObject({ state: 'remote' })
    await (await machine('two', SECRET)).expand('a', target())
    expect(await folderHashes(target())).toEqual(await folderHashes(rawDir))
    const plain = (await inBucket('')).filter((path) => !path.includes('/sealed/'))
    expect(plain.some((path) => path.includes('/chunks/'))).toBe(true)
    expect(plain.filter((path) => path.includes('/checkpoints/'))).toEqual([])
  })

  test('unsealed, and changed in the bucket, is rejected', async () => {
    const rawDir = await writeRawFolder(join(dir, 'raw', 'a'), { 'pages.img': randomBytes(MB) })
    const { local } = await leftByAnEarlierVersion('a', rawDir)
    await rm(join(local, 'chunks'), { recursive: true })
    await rm(join(local, 'checkpoints'), { recursive: true })
    await flip((await inBucket('/chunks/'))[0]!, 9_999)
    const one = await machine('old', SECRET)
    await expect(one.expand('a', target())).rejects.toMatchObject(damaged(/checkpoint 'a' is damaged: chunk/))
  })
})

/** Writes folders like those of the previous version: manifest and chunks are unsealed, locally and in the bucket. */
async function leftByAnEarlierVersion(id: string, rawDir: string): Promise<{ local: string }> {
  const local = join(dir, 'old')
  const alone = await PackedCheckpoints.open({ dir: local, logger })
  await alone.pack(id, rawDir)
  await alone.close()
  const manifest = await readFile(join(local, 'checkpoints', `${id}.json`))
  for (const path of await filesBelow(join(local, 'chunks')))
    await put(join(server.bucketDir, path.slice(local.length + 1)), await readFile(path))
  await put(join(server.bucketDir, `checkpoints/${id}.json`), manifest)
  await writeRawFolder(join(local, 'remote'), { [`${id}.json`]: manifest })
  return { local }
}
