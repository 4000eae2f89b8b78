import { randomBytes } from 'node:crypto'
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  watch,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { run } from '../host/run.ts'
import { PackedCheckpoints } from './packed-checkpoints.ts'
import {
  age,
  filesBelow,
  flipBit,
  folderHashes,
  imageLike,
  nameOf,
  writeRawFolder,
} from './raw-folders.fixture.ts'

// because the packing process is started some dozens of times
process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), `sandlot-compile-cache-${process.getuid?.()}`)

const logger = pino({ level: 'silent' })
const PAGE = 4096
const MB = 1024 * 1024

// packs run at idle priority
vi.setConfig({ testTimeout: 60_000 })

let dir: string
let storeDir: string
let checkpoints: PackedCheckpoints

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-checkpoints-'))
  storeDir = join(dir, 'store')
  checkpoints = await PackedCheckpoints.open({ dir: storeDir, logger, graceMs: 0 })
})
afterEach(async () => {
  await checkpoints.close()
  await rm(dir, { recursive: true, force: true })
})

const raw = (name: string, files: Record<string, Buffer>) => writeRawFolder(join(dir, 'raw', name), files)
const chunkFiles = () => filesBelow(join(storeDir, 'chunks')).catch(() => [])

/** Resolves when the packing process begins to write its first chunk. */
async function firstWrite(): Promise<void> {
  for await (const _ of watch(join(storeDir, '.tmp'))) return
}

/** Makes all stored objects old enough, and collects garbage. */
async function collect(isDryRun = false) {
  await age(await chunkFiles())
  return checkpoints.collectGarbage({ isDryRun })
}

async function expectSame(id: string, rawDir: string): Promise<void> {
  const target = join(dir, `expanded-${id}-${randomBytes(4).toString('hex')}`)
  await checkpoints.expand(id, target)
  expect(await folderHashes(target)).toEqual(await folderHashes(rawDir))
}

describe('packing and expanding', () => {
  test('files are unchanged after packing and expanding', async () => {
    const sizes = [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, MB, 4 * MB, 4 * MB + 1, 9 * MB + 12_345]
    const files = Object.fromEntries(sizes.map((size) => [`file-${size}.img`, imageLike(size)]))
    const rawDir = await raw('one', { ...files, 'zeros.img': Buffer.alloc(6 * MB + 5) })
    const { logicalBytes } = await checkpoints.pack('one', rawDir)
    expect(logicalBytes).toBe(sizes.reduce((sum, size) => sum + size, 6 * MB + 5))
    await expectSame('one', rawDir)
  })

  test('zeros take no disk, neither packed nor expanded', async () => {
    await raw('zeros', {})
    await writeFile(join(dir, 'raw/zeros/pages.img'), 'x')
    await truncate(join(dir, 'raw/zeros/pages.img'), 200 * MB)
    const { addedBytes } = await checkpoints.pack('zeros', join(dir, 'raw/zeros'))
    expect(addedBytes).toBeLessThan(1000)
    await checkpoints.expand('zeros', join(dir, 'expanded'))
    const { size, blocks } = await stat(join(dir, 'expanded/pages.img'))
    expect(size).toBe(200 * MB)
    expect(blocks * 512).toBeLessThan(MB)
  })

  test('content that two checkpoints share is stored once, even if it has moved by pages', async () => {
    const memory = randomBytes(8 * MB)
    await checkpoints.pack('one', await raw('one', { 'pages.img': memory }))
    const moved = Buffer.concat([memory.subarray(0, MB), randomBytes(3 * PAGE), memory.subarray(MB)])
    const rawDir = await raw('two', { 'pages.img': moved })
    const { addedBytes } = await checkpoints.pack('two', rawDir)
    expect(addedBytes).toBeLessThan(2 * MB)
    await expectSame('two', rawDir)
  })

  test('packing an id again does nothing', async () => {
    const rawDir = await raw('one', { 'pages.img': randomBytes(MB) })
    await checkpoints.pack('one', rawDir)
    expect(await checkpoints.pack('one', join(dir, 'raw/none'))).toMatchObject({
      addedBytes: 0,
      addedChunks: 0,
    })
    await expectSame('one', rawDir)
  })

  test('equal content that is packed concurrently is stored once', async () => {
    const memory = imageLike(5 * MB)
    const rawDir = await raw('one', { 'pages.img': memory })
    const ids = ['one', 'two', 'three']
    const results = await Promise.all(ids.map((id) => checkpoints.pack(id, rawDir)))
    expect(results.filter(({ addedBytes }) => addedBytes > 0)).toHaveLength(1)
    for (const id of ids) await expectSame(id, rawDir)
  })

  test('the event loop stays free while a large folder is packed and expanded', async () => {
    const rawDir = await raw('large', { 'pages.img': Buffer.concat(Array(12).fill(randomBytes(4 * MB))) })
    let turns = 0
    const timer = setInterval(() => turns++, 5)
    const startMs = performance.now()
    await checkpoints.pack('large', rawDir)
    await checkpoints.expand('large', join(dir, 'expanded'))
    clearInterval(timer)
    expect(turns).toBeGreaterThan((performance.now() - startMs) / 5 / 4)
  })

  test('a missing folder, and one with other entries than files and folders, is rejected by name', async () => {
    await expect(checkpoints.pack('one', join(dir, 'none'))).rejects.toMatchObject({
      errorName: 'invalid_request',
      message: expect.stringContaining(`${dir}/none, does not exist`),
    })
    await mkdir(join(dir, 'raw/deep'), { recursive: true })
    await symlink('/etc/passwd', join(dir, 'raw/deep/er'))
    await expect(checkpoints.pack('one', join(dir, 'raw/deep'))).rejects.toThrow(/'er' is neither/)
    expect(await checkpoints.has('one')).toBe(false)
  })

  test('nested folders are unchanged', async () => {
    const rawDir = await raw('nested', { 'manifest.json': Buffer.from('{}') })
    await writeRawFolder(join(rawDir, 'memory'), { 'pages.img': randomBytes(5000) })
    await checkpoints.pack('nested', rawDir)
    await checkpoints.expand('nested', join(dir, 'again'))
    expect(await readFile(join(dir, 'again/memory/pages.img'))).toEqual(
      await readFile(join(rawDir, 'memory/pages.img')),
    )
    expect(await checkpoints.list()).toContain('nested')
  })

  test('an existing target is not changed', async () => {
    await checkpoints.pack('one', await raw('one', { a: Buffer.from('x') }))
    const target = await writeRawFolder(join(dir, 'target'), { mine: Buffer.from('mine') })
    await expect(checkpoints.expand('one', target)).rejects.toMatchObject({ errorName: 'conflict' })
    expect(await readdir(target)).toEqual(['mine'])
    expect((await readdir(dir)).filter((name) => name.startsWith('.writing-'))).toEqual([])
  })

  test.each(['', '../x', 'a/b', 'a.json', '-a', 'x'.repeat(101)])('the id %j is refused', async (id) => {
    for (const work of [checkpoints.pack(id, dir), checkpoints.expand(id, dir), checkpoints.delete(id)])
      await expect(work).rejects.toMatchObject({ errorName: 'invalid_request' })
  })

  test('an id that was never packed is not found', async () => {
    expect(await checkpoints.has('none')).toBe(false)
    await expect(checkpoints.expand('none', join(dir, 'x'))).rejects.toMatchObject({ errorName: 'not_found' })
    await expect(checkpoints.uploadState('none')).rejects.toMatchObject({ errorName: 'not_found' })
  })
})

describe('damage', () => {
  test('any flipped bit or truncation of a chunk is reported with checkpoint, file and chunk', async () => {
    const rawDir = await raw('one', { 'pages.img': imageLike(3 * MB), 'pages_meta.img': randomBytes(100) })
    await checkpoints.pack('one', rawDir)
    let reported = 0
    for (const path of await chunkFiles()) {
      const { size } = await stat(path)
      const bit = Math.floor(Math.random() * size * 8)
      await flipBit(path, bit)
      const error = await checkpoints.expand('one', join(dir, 'damaged')).catch((error) => error)
      await flipBit(path, bit)
      if (error) {
        reported++
        expect(error).toMatchObject({ errorName: 'checkpoint_damaged' })
        expect(error.message).toMatch(
          new RegExp(
            `^checkpoint 'one' is damaged: chunk ${nameOf(path)} at byte \\d+ of 'pages(_meta)?.img': `,
          ),
        )
      } else await rm(join(dir, 'damaged'), { recursive: true })
    }
    // a few bits of a zstd frame have no meaning
    expect(reported).toBeGreaterThan(0)
    const victim = (await chunkFiles())[0]!
    await truncate(victim, (await stat(victim)).size - 1)
    await expect(checkpoints.expand('one', join(dir, 'damaged'))).rejects.toThrow(/it cannot be decompressed/)
    await rm(victim)
    await expect(checkpoints.expand('one', join(dir, 'damaged'))).rejects.toThrow(/it is missing/)
    expect(await readdir(dir)).not.toContain('damaged')
  })

  test('a damaged manifest is reported, and prevents a garbage collection', async () => {
    await checkpoints.pack('one', await raw('one', { 'pages.img': randomBytes(MB) }))
    const before = await chunkFiles()
    await flipBit(join(storeDir, 'checkpoints/one.json'), 801)
    await expect(checkpoints.expand('one', join(dir, 'x'))).rejects.toMatchObject({
      errorName: 'checkpoint_damaged',
      message: expect.stringMatching(/^checkpoint 'one' is damaged: its manifest/),
    })
    await expect(collect()).rejects.toMatchObject({
      errorName: 'checkpoint_damaged',
    })
    expect(await chunkFiles()).toEqual(before)
    await checkpoints.delete('one')
    expect(await collect()).toMatchObject({ chunks: before.length, keptChunks: 0 })
  })

  test('a pack replaces damaged chunks that it needs', async () => {
    const rawDir = await raw('one', { 'pages.img': randomBytes(2 * MB) })
    await checkpoints.pack('one', rawDir)
    const [flipped, cut] = await chunkFiles()
    await flipBit(flipped!, 10_000)
    await truncate(cut!, 10)
    await checkpoints.pack('two', rawDir)
    await expectSame('one', rawDir)
    await expectSame('two', rawDir)
  })
})

describe('deleting, garbage and usage', () => {
  test('a deleted checkpoint is gone, and its own chunks with the next collection', async () => {
    const shared = randomBytes(2 * MB)
    const own = randomBytes(2 * MB)
    const keptDir = await raw('kept', { 'pages.img': shared })
    await checkpoints.pack('kept', keptDir)
    await checkpoints.pack('gone', await raw('gone', { 'pages.img': shared, 'own.img': own }))
    expect(await collect()).toMatchObject({ chunks: 0, bytes: 0 })
    await checkpoints.delete('gone')
    expect(await checkpoints.has('gone')).toBe(false)
    await expect(checkpoints.expand('gone', join(dir, 'x'))).rejects.toMatchObject({ errorName: 'not_found' })

    const before = await chunkFiles()
    const foreseen = await collect(true)
    expect(await chunkFiles()).toEqual(before)
    expect(foreseen.bytes).toBeGreaterThan(2 * MB)
    expect(await checkpoints.collectGarbage({ isDryRun: false })).toEqual(foreseen)
    expect(await chunkFiles()).toHaveLength(before.length - foreseen.chunks)
    await expectSame('kept', keptDir)
  })

  test('deleting is idempotent', async () => {
    await checkpoints.delete('none')
    await checkpoints.pack('one', await raw('one', { a: Buffer.from('x') }))
    await Promise.all([checkpoints.delete('one'), checkpoints.delete('one')])
    expect(await checkpoints.has('one')).toBe(false)
  })

  test('deleting during a pack ends it', async () => {
    const rawDir = await raw('one', { 'pages.img': randomBytes(16 * MB) })
    const writing = firstWrite()
    const packing = checkpoints.pack('one', rawDir)
    const outcome = expect(packing).rejects.toMatchObject({ errorName: 'conflict' })
    await writing
    await checkpoints.delete('one')
    await outcome
    expect(await checkpoints.has('one')).toBe(false)
  })

  test('a collection spares chunks of a running pack', async () => {
    const memory = randomBytes(8 * MB)
    const rawDir = await raw('one', { 'pages.img': memory })
    await checkpoints.pack('old', rawDir)
    await checkpoints.delete('old')
    await age(await chunkFiles())
    let isPacked = false
    const packing = checkpoints.pack('one', rawDir).then(() => {
      isPacked = true
    })
    let collected = 0
    while (!isPacked) collected += (await checkpoints.collectGarbage({ isDryRun: false })).chunks
    expect(collected).toBeGreaterThan(0)
    await packing
    await expectSame('one', rawDir)
  })

  test('usage counts shared chunks once, and tells how much a deletion would free', async () => {
    const shared = randomBytes(MB)
    await checkpoints.pack('a', await raw('a', { 'pages.img': shared }))
    await checkpoints.pack('b', await raw('b', { 'pages.img': shared, 'own.img': randomBytes(MB) }))
    await checkpoints.pack('c', await raw('c', { 'pages.img': randomBytes(MB) }))
    const stored = (await stat(storeDir)) && (await chunkFiles())
    const total = (await Promise.all(stored.map((path) => stat(path)))).reduce(
      (sum, { size }) => sum + size,
      0,
    )

    const all = await checkpoints.usage(['a', 'b', 'c', 'unknown'])
    expect(all).toMatchObject({ logicalBytes: 4 * MB, storedBytes: total, sharedBytes: 0 })
    expect(Object.keys(all.checkpoints).sort()).toEqual(['a', 'b', 'c'])
    expect(all.checkpoints.c).toMatchObject({ logicalBytes: MB, sharedBytes: 0 })
    expect(all.checkpoints.a!.sharedBytes).toBe(all.checkpoints.a!.storedBytes)

    const b = await checkpoints.usage(['b'])
    await checkpoints.delete('b')
    expect((await collect(true)).bytes).toBe(b.storedBytes - b.sharedBytes)
  })
})

test.skipIf(process.getuid?.() !== 0)(
  'a full disk is reported as disk_full, and the store still works',
  async () => {
    const full = join(dir, 'full')
    await mkdir(full)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', full])
    try {
      const small = await PackedCheckpoints.open({ dir: join(full, 'store'), logger, graceMs: 0 })
      const littleDir = await raw('little', { 'pages.img': randomBytes(MB) })
      await small.pack('little', littleDir)
      const rawDir = await raw('big', { 'pages.img': randomBytes(12 * MB) })
      await expect(small.pack('big', rawDir)).rejects.toMatchObject({ errorName: 'disk_full' })
      expect(await small.has('big')).toBe(false)
      await age(await filesBelow(join(full, 'store/chunks')))
      await small.collectGarbage({ isDryRun: false })
      await small.expand('little', join(full, 'little'))
      expect(await folderHashes(join(full, 'little'))).toEqual(await folderHashes(littleDir))

      await checkpoints.pack('big', rawDir)
      await expect(checkpoints.expand('big', join(full, 'big'))).rejects.toMatchObject({
        errorName: 'disk_full',
      })
      expect((await readdir(full)).sort()).toEqual(['little', 'store'])
      await small.close()
    } finally {
      await run('umount', [full])
    }
  },
)

test('closing ends a running pack and rejects further calls', async () => {
  const rawDir = await raw('one', { 'pages.img': randomBytes(16 * MB) })
  const writing = firstWrite()
  const packing = expect(checkpoints.pack('one', rawDir)).rejects.toMatchObject({
    errorName: 'server_draining',
  })
  await writing
  await checkpoints.close()
  await packing
  await expect(checkpoints.has('one')).rejects.toMatchObject({ errorName: 'server_draining' })
})
