import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rename, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DAY_MS } from '@sandlot/protocol'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { S3Store } from '../objects/s3-store.ts'
import { sealBucket } from '../objects/sealed-store.ts'
import { createS3Server, type S3Server } from '../test-support/versitygw.ts'
import { PackedCheckpoints, type PackedCheckpointsOptions } from './packed-checkpoints.ts'
import { age, filesBelow, flipBit, folderHashes, imageLike, writeRawFolder } from './raw-folders.fixture.ts'

// because the packing process is started some dozens of times
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), `sandlot-compile-cache-${process.getuid?.()}`)

const logger = pino({ level: 'silent' })
const MB = 1024 * 1024
const SECRET = 'a secret of at least thirty-two characters'

let dir: string
let server: S3Server
const opened: PackedCheckpoints[] = []

// packs run at idle priority and uploads wait between attempts, which takes long on a busy machine
vi.setConfig({ testTimeout: 60_000 })

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-remote-'))
  server = await createS3Server(dir)
}, 600_000)
beforeEach(() => server.start())
afterEach(async () => {
  for (const checkpoints of opened.splice(0)) await checkpoints.close()
  await server.kill()
  for (const name of await readdir(dir))
    if (name !== 'buckets') await rm(join(dir, name), { recursive: true })
  for (const name of await readdir(server.bucketDir))
    await rm(join(server.bucketDir, name), { recursive: true })
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** Opens another machine that shares the bucket. */
async function machine(
  name: string,
  options: Partial<PackedCheckpointsOptions> = {},
): Promise<PackedCheckpoints> {
  const remote = sealBucket(new S3Store(server.options), [SECRET])
  const checkpoints = await PackedCheckpoints.open({
    dir: join(dir, name),
    remote,
    logger,
    graceMs: 0,
    firstRetryMs: 50,
    ...options,
  })
  opened.push(checkpoints)
  return checkpoints
}

const raw = (name: string, files: Record<string, Buffer>) => writeRawFolder(join(dir, 'raw', name), files)
const chunksOn = (name: string) => filesBelow(join(dir, name, 'chunks')).catch(() => [])
const inBucket = async (folder: string): Promise<string[]> => {
  const sealed = join(server.bucketDir, 'sealed')
  const [keyId] = await readdir(sealed).catch(() => [])
  return keyId === undefined ? [] : filesBelow(join(sealed, keyId, folder)).catch(() => [])
}
const chunksInBucket = () => inBucket('chunks')

async function expectSame(checkpoints: PackedCheckpoints, id: string, rawDir: string): Promise<void> {
  const target = join(dir, `expanded-${randomBytes(4).toString('hex')}`)
  await checkpoints.expand(id, target)
  expect(await folderHashes(target)).toEqual(await folderHashes(rawDir))
}

test('a checkpoint of one machine can be expanded by another once it is uploaded', async () => {
  const one = await machine('one')
  const rawDir = await raw('a', { 'pages.img': imageLike(6 * MB), 'checkpoint.img': randomBytes(1000) })
  await one.pack('a', rawDir)
  expect(await one.whenUploaded('a')).toEqual({ state: 'remote', isLocal: true })

  const two = await machine('two')
  expect(await two.has('a')).toBe(true)
  expect(await two.uploadState('a')).toEqual({ state: 'remote', isLocal: false })
  await Promise.all([expectSame(two, 'a', rawDir), expectSame(two, 'a', rawDir)])
  expect(await two.uploadState('a')).toEqual({ state: 'remote', isLocal: true })
})

test('when the store dies during an upload, the local copy works and the upload continues later', async () => {
  const one = await machine('one')
  const rawDir = await raw('a', { 'pages.img': randomBytes(12 * MB) })
  await one.pack('a', rawDir)
  while ((await chunksInBucket()).length < 5) await new Promise((resolve) => setTimeout(resolve, 2))
  await server.kill()
  await expectSame(one, 'a', rawDir)
  const state = await one.uploadState('a')
  expect(state).toMatchObject({ state: 'uploading', isLocal: true })
  expect(await inBucket('checkpoints')).toEqual([])

  await server.start()
  expect(await one.whenUploaded('a')).toMatchObject({ state: 'remote' })
  await expectSame(await machine('two'), 'a', rawDir)
})

test('the next start continues an interrupted upload', async () => {
  await server.kill()
  const first = await machine('one')
  const rawDir = await raw('a', { 'pages.img': randomBytes(2 * MB) })
  await first.pack('a', rawDir)
  await first.close()
  await server.start()
  const second = await machine('one')
  expect(await second.whenUploaded('a')).toMatchObject({ state: 'remote' })
})

test('the error says that a remote checkpoint is unavailable without the store', async () => {
  const one = await machine('one')
  await one.pack('a', await raw('a', { 'pages.img': randomBytes(MB) }))
  await one.whenUploaded('a')
  const two = await machine('two')
  await server.kill()
  await expect(two.expand('a', join(dir, 'target'))).rejects.toMatchObject({
    errorName: 'checkpoint_store_unavailable',
    message: expect.stringContaining(`bucket 'sandboxes' at ${server.options.endpoint}`),
  })
})

test('a deletion during an outage of the store is repeated later', async () => {
  const one = await machine('one')
  await one.pack('a', await raw('a', { 'pages.img': randomBytes(MB) }))
  await one.whenUploaded('a')
  await server.kill()
  await one.delete('a')
  expect(await one.has('a')).toBe(false)
  await server.start()
  await expect(one.whenUploaded('a')).rejects.toMatchObject({ errorName: 'not_found' })
  expect(await inBucket('checkpoints')).toEqual([])
})

test('locally damaged chunks are replaced from the remote store', async () => {
  const one = await machine('one')
  const rawDir = await raw('a', { 'pages.img': randomBytes(3 * MB) })
  await one.pack('a', rawDir)
  await one.whenUploaded('a')
  const [flipped, cut, missing] = await chunksOn('one')
  await flipBit(flipped!, 9_999)
  await truncate(cut!, 100)
  await rm(missing!)
  await expectSame(one, 'a', rawDir)
  await server.kill()
  await expectSame(one, 'a', rawDir)
})

test("chunks that are replaced from another checkpoint's do not make a checkpoint count as uploaded", async () => {
  const rawDir = await raw('a', { 'pages.img': randomBytes(MB) })
  const first = await machine('one')
  await first.pack('a', rawDir)
  await first.whenUploaded('a')
  await first.close()
  const alone = await machine('one', { remote: undefined })
  await alone.pack('b', rawDir)
  await alone.close()
  await flipBit((await chunksOn('one'))[0]!, 5_000)

  const one = await machine('one')
  expect(await one.whenUploaded('b')).toMatchObject({ state: 'local' })
  await expectSame(one, 'b', rawDir)
  expect(await one.whenUploaded('b')).toMatchObject({ state: 'remote' })
  await expectSame(await machine('two'), 'b', rawDir)
})

test('a locally damaged manifest is replaced from the remote store', async () => {
  const one = await machine('one')
  const rawDir = await raw('a', { 'pages.img': randomBytes(MB) })
  await one.pack('a', rawDir)
  await one.whenUploaded('a')
  await flipBit(join(dir, 'one/checkpoints/a.json'), 999)
  for (const path of await filesBelow(join(dir, 'one/uploaded'))) await flipBit(path, 999)
  await expectSame(one, 'a', rawDir)
  await server.kill()
  await expectSame(one, 'a', rawDir)
})

test('damage is neither uploaded nor downloaded', async () => {
  const alone = await machine('one', { remote: undefined })
  await alone.pack('a', await raw('a', { 'pages.img': randomBytes(MB) }))
  await alone.close()
  await flipBit((await chunksOn('one'))[0]!, 5_000)
  const one = await machine('one')
  const failed = await one.whenUploaded('a')
  expect(failed).toMatchObject({
    state: 'local',
    lastError: expect.stringMatching(/^checkpoint 'a' is damaged: chunk/),
  })

  await one.pack('b', await raw('b', { 'pages.img': randomBytes(MB) }))
  await one.whenUploaded('b')
  const two = await machine('two')
  for (const path of await chunksInBucket()) {
    await rename(path, `${path}.moved`)
    await truncate(`${path}.moved`, 100)
    await rename(`${path}.moved`, path)
  }
  await expect(two.expand('b', join(dir, 'target'))).rejects.toMatchObject({
    errorName: expect.stringMatching(/^checkpoint_(damaged|store_unavailable)$/),
  })
  expect(await readdir(dir)).not.toContain('target')
})

test('beyond the budget the least recently used copies are evicted, if the remote store has them', async () => {
  const one = await machine('one', { cacheBytes: 5 * MB })
  const folders = []
  for (const id of ['a', 'b']) {
    folders.push(await raw(id, { 'pages.img': randomBytes(2 * MB) }))
    await one.pack(id, folders.at(-1)!)
    await one.whenUploaded(id)
  }
  await expectSame(one, 'a', folders[0]!)
  await age(await chunksOn('one'))
  await one.pack('c', await raw('c', { 'pages.img': randomBytes(2 * MB) }))
  await one.whenUploaded('c')
  // the eviction follows the upload, and a dry run follows the eviction
  await one.collectGarbage({ isDryRun: true })
  const isLocal = async (id: string) => (await one.uploadState(id)).isLocal
  expect([await isLocal('a'), await isLocal('b'), await isLocal('c')]).toEqual([true, false, true])
  const sizes = await Promise.all((await chunksOn('one')).map((path) => stat(path)))
  expect(sizes.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(5 * MB)
  await expectSame(one, 'b', folders[1]!)
})

test('a checkpoint that is not uploaded is never evicted', async () => {
  await server.kill()
  const one = await machine('one', { cacheBytes: MB })
  const rawDir = await raw('a', { 'pages.img': randomBytes(3 * MB) })
  await one.pack('a', rawDir)
  await one.pack('b', await raw('b', { 'pages.img': randomBytes(3 * MB) }))
  await age(await chunksOn('one'))
  await one.collectGarbage({ isDryRun: false })
  await expectSame(one, 'a', rawDir)
})

test('garbage in the remote store is deleted when it is a day old; chunks that any machine needs are kept', async () => {
  const one = await machine('one')
  const two = await machine('two')
  const shared = randomBytes(MB)
  const rawDir = await raw('kept', { 'pages.img': shared })
  await two.pack('kept', rawDir)
  await one.pack('gone', await raw('gone', { 'pages.img': shared, 'own.img': randomBytes(2 * MB) }))
  await Promise.all([two.whenUploaded('kept'), one.whenUploaded('gone')])
  const before = (await chunksInBucket()).length
  await one.delete('gone')
  await one.whenUploaded('gone').catch(() => {})

  expect(await one.collectGarbage({ isDryRun: false, where: 'remote' })).toMatchObject({
    chunks: 0,
    keptChunks: before,
  })
  await age(await chunksInBucket(), DAY_MS + 60_000)
  const foreseen = await one.collectGarbage({ isDryRun: true, where: 'remote' })
  expect(foreseen.bytes).toBeGreaterThan(2 * MB)
  expect(await chunksInBucket()).toHaveLength(before)
  expect(await one.collectGarbage({ isDryRun: false, where: 'remote' })).toEqual(foreseen)
  await expectSame(await machine('three'), 'kept', rawDir)
})

test('a learned checkpoint outlives its first owner, and is deleted by the last machine that needs it', async () => {
  const [one, two, three] = [await machine('one'), await machine('two'), await machine('three')]
  const rawDir = await raw('a', { 'pages.img': randomBytes(MB) })
  await one.pack('a', rawDir)
  await one.whenUploaded('a')
  await two.learn('a')
  await three.learn('a')

  await one.delete('a')
  await one.whenUploaded('a').catch(() => {})
  await age(await chunksInBucket(), DAY_MS + 60_000)
  expect(await one.collectGarbage({ isDryRun: false, where: 'remote' })).toMatchObject({ chunks: 0 })
  await expectSame(two, 'a', rawDir)

  await two.dropLocal('a')
  expect(await inBucket('claims')).toHaveLength(1)
  expect(await inBucket('checkpoints')).toHaveLength(1)
  await three.delete('a')
  await three.whenUploaded('a').catch(() => {})
  expect([...(await inBucket('claims')), ...(await inBucket('checkpoints'))]).toEqual([])
})

test('a missing checkpoint is not claimed', async () => {
  const one = await machine('one')
  await expect(one.learn('a')).rejects.toMatchObject({ errorName: 'not_found' })
  expect(await inBucket('claims')).toEqual([])
})

test('an upload renews chunks that would soon count as garbage', async () => {
  const one = await machine('one')
  const rawDir = await raw('a', { 'pages.img': randomBytes(MB) })
  await one.pack('a', rawDir)
  await one.whenUploaded('a')
  await one.delete('a')
  await one.whenUploaded('a').catch(() => {})
  await age(await chunksInBucket(), DAY_MS - 60_000)
  await one.pack('b', rawDir)
  await one.whenUploaded('b')
  for (const path of await chunksInBucket())
    expect((await stat(path)).mtimeMs).toBeGreaterThan(Date.now() - 60_000)
})

test('a collection of remote garbage is refused without a remote store', async () => {
  const alone = await machine('alone', { remote: undefined })
  await expect(alone.collectGarbage({ isDryRun: true, where: 'remote' })).rejects.toMatchObject({
    errorName: 'invalid_request',
  })
})
