import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import { CheckpointFolder } from './checkpoint-folder.ts'
import { CheckpointTiers } from './checkpoint-tiers.ts'

const idOf = (letter: string) => `c${letter.repeat(20)}`
const [A, B, C, D] = [idOf('a'), idOf('b'), idOf('c'), idOf('d')]
const SIZE = 200_000
/** Packing has idle priority, so it can take long beside other tests. */
const PACKED_WITHIN_MS = 60_000
vi.setConfig({ testTimeout: 3 * PACKED_WITHIN_MS })

let dir: string
let folder: CheckpointFolder
let packed: PackedCheckpoints
let tiers: CheckpointTiers
let errors: unknown[]
const contents = new Map<string, Buffer>()

async function open(unpackedBytes: number): Promise<void> {
  packed = await PackedCheckpoints.open({ dir: join(dir, 'packed'), logger: pino({ level: 'silent' }) })
  tiers = new CheckpointTiers({
    folder,
    packed,
    unpackedBytes,
    startPriority: { wait: async () => {} },
    onError: (error) => errors.push(error),
  })
}
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-cold-'))
  folder = new CheckpointFolder(join(dir, 'checkpoints'))
  await folder.prepare()
  errors = []
})
afterEach(async () => {
  await tiers.close()
  rmSync(dir, { recursive: true, force: true })
  expect(errors).toEqual([])
})

async function write(id: string): Promise<void> {
  const content = randomBytes(SIZE)
  contents.set(id, content)
  const described = {
    hasMemory: true,
    engineVersion: 'release-1',
    resources: { cpuCount: 2, memoryMB: 512, diskSizeMB: 1024 },
    imagePath: '/image',
    guestDir: '/guest',
    cpuFeatures: [],
  }
  await folder.write(id, described, async ({ memoryDir }) => {
    mkdirSync(memoryDir)
    writeFileSync(join(memoryDir, 'pages.img'), content)
  })
}
const isUnpacked = (id: string) => existsSync(folder.dirOf(id))
const isPacked = async (id: string) => (await packed.list()).includes(id)
const read = (id: string) =>
  tiers.use(id, async () => readFileSync(join(folder.paths(id).memoryDir, 'pages.img')))

test('checkpoints beyond the budget are only kept packed, and are unchanged when they are used', async () => {
  await open(0)
  await write(A)
  tiers.pack(A)
  await expect.poll(() => isUnpacked(A), { timeout: PACKED_WITHIN_MS }).toBe(false)
  expect([...(await tiers.list())]).toEqual([A])
  expect(await read(A)).toEqual(contents.get(A))
})

test('the most recently used unpacked copies are kept within the budget', async () => {
  await open(3.5 * SIZE)
  // they are packed one after the other, so all before the last one are counted
  for (const id of [A, B, C]) {
    await write(id)
    tiers.pack(id)
    await expect.poll(() => isPacked(id), { timeout: PACKED_WITHIN_MS }).toBe(true)
  }
  await read(A)
  await write(D)
  tiers.pack(D)
  await expect.poll(() => isUnpacked(B), { timeout: PACKED_WITHIN_MS }).toBe(false)
  expect([A, C, D].map(isUnpacked)).toEqual([true, true, true])
})

test('a checkpoint in use stays unpacked, even over the budget', async () => {
  await open(0)
  await write(A)
  await tiers.use(A, async () => {
    tiers.pack(A)
    await expect.poll(() => isPacked(A), { timeout: PACKED_WITHIN_MS }).toBe(true)
    expect(isUnpacked(A)).toBe(true)
  })
})

test('concurrent callers for one checkpoint share an expansion', async () => {
  await open(0)
  await write(A)
  tiers.pack(A)
  await expect.poll(() => isUnpacked(A), { timeout: PACKED_WITHIN_MS }).toBe(false)
  const all = await Promise.all(Array.from({ length: 10 }, () => read(A)))
  for (const content of all) expect(content).toEqual(contents.get(A))
})

test('a removed checkpoint is gone, packed and unpacked', async () => {
  await open(10 * SIZE)
  await write(A)
  tiers.pack(A)
  await expect.poll(() => isPacked(A), { timeout: PACKED_WITHIN_MS }).toBe(true)
  await tiers.remove(A)
  expect([await tiers.list(), isUnpacked(A), await isPacked(A)]).toEqual([new Set(), false, false])
  await expect(read(A)).rejects.toMatchObject({ errorName: 'not_found' })
})

test('a start seals and packs checkpoints that a crash left unpacked', async () => {
  await open(0)
  await write(A)
  await tiers.close()
  await open(0)
  await tiers.recover()
  await expect.poll(() => isUnpacked(A), { timeout: PACKED_WITHIN_MS }).toBe(false)
  expect(await read(A)).toEqual(contents.get(A))
  expect(await folder.isSealed(A)).toBe(true)
})

test('a start does not pack a checkpoint whose files are pending', async () => {
  await open(0)
  await write(A)
  await write(B)
  await tiers.recover(new Set([A]))
  await expect.poll(() => isPacked(B), { timeout: PACKED_WITHIN_MS }).toBe(true)
  expect([isUnpacked(A), await isPacked(A)]).toEqual([true, false])
})

describe('disk space', () => {
  const chunkFiles = () =>
    readdirSync(join(dir, 'packed', 'chunks'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))

  /** Opens tiers with packed and unpacked checkpoints, in order of use. */
  async function openWith(ids: string[]): Promise<void> {
    await open(10 * SIZE)
    for (const id of ids) {
      await write(id)
      tiers.pack(id)
      await expect.poll(() => isPacked(id), { timeout: PACKED_WITHIN_MS }).toBe(true)
      // the packing process may not have ended yet
      await packed.pack(id, folder.dirOf(id))
    }
    await read(ids.at(-1)!)
  }

  test('is freed by dropping unpacked copies, the least recently used first, but no more than needed', async () => {
    await openWith([A, B, C])
    await read(A)
    expect(await tiers.makeRoom(async () => !isUnpacked(B))).toBe(true)
    expect([A, B, C].map(isUnpacked)).toEqual([true, false, true])
    expect(await read(B)).toEqual(contents.get(B))
  })

  test('is not freed from checkpoints that are in use or not packed yet, and the result tells whether there is enough', async () => {
    await openWith([A, B])
    await write(C)
    await tiers.use(A, async () => expect(await tiers.makeRoom(async () => false)).toBe(false))
    expect([A, B, C].map(isUnpacked)).toEqual([true, false, true])
  })

  test('is freed by a garbage collection when dropping copies is not enough', async () => {
    await openWith([A, B])
    await tiers.remove(B)
    // younger than the grace period, but older than a second, as newer chunks are never garbage
    const justNow = Date.now() / 1000 - 5
    for (const file of chunkFiles()) utimesSync(file, justNow, justNow)
    const before = chunkFiles().length
    const isEnough = async () => chunkFiles().length < before
    expect(await Promise.all([tiers.makeRoom(isEnough), tiers.makeRoom(isEnough)])).toEqual([true, true])
    expect(await read(A)).toEqual(contents.get(A))
  })
})

describe('damage', () => {
  /** Uses the checkpoint and reads all its files. */
  const readWhole = (id: string) =>
    tiers.use(id, async () => {
      await folder.verify(id, 'memory')
      return readFileSync(join(folder.paths(id).memoryDir, 'pages.img'))
    })

  function flipBit(path: string): void {
    const content = readFileSync(path)
    content[Math.floor(content.length / 2)]! ^= 1
    writeFileSync(path, content)
  }
  const damageUnpacked = (id: string) => flipBit(join(folder.paths(id).memoryDir, 'pages.img'))

  /** @returns the names of the chunks that were damaged */
  function damagePacked(damage = flipBit): string[] {
    const chunks = readdirSync(join(dir, 'packed', 'chunks'), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
    for (const chunk of chunks) damage(chunk)
    return chunks.map((chunk) => chunk.split('/').at(-1)!)
  }

  /** Writes a checkpoint that is sealed, packed, and still unpacked too. */
  async function writePacked(unpackedBytes = 10 * SIZE): Promise<void> {
    await open(unpackedBytes)
    await write(A)
    await folder.seal(A)
    tiers.pack(A)
    await expect
      .poll(async () => [await isPacked(A), isUnpacked(A)], { timeout: PACKED_WITHIN_MS })
      .toEqual([true, unpackedBytes > 0])
  }

  test('of the unpacked copy is repaired from the packed one and reported, and no caller gets damaged files', async () => {
    await writePacked()
    damageUnpacked(A)
    expect(await readWhole(A)).toEqual(contents.get(A))
    expect(errors.splice(0)).toMatchObject([
      { message: expect.stringMatching(/pages\.img has changed.*unpacked again/s) },
    ])
    expect(await readWhole(A)).toEqual(contents.get(A))
    expect(readdirSync(join(dir, 'checkpoints'))).toEqual([A])
  })

  test('of the unpacked manifest is repaired too', async () => {
    await writePacked()
    truncateSync(join(folder.dirOf(A), 'manifest.json'), 5)
    expect(await tiers.use(A, () => folder.read(A))).toMatchObject({ checkpointId: A })
    expect(errors.splice(0)).toHaveLength(1)
  })

  test('that concurrent callers find is repaired for all of them', async () => {
    await writePacked()
    damageUnpacked(A)
    const all = await Promise.all(Array.from({ length: 5 }, () => readWhole(A)))
    for (const content of all) expect(content).toEqual(contents.get(A))
    expect(errors.splice(0).length).toBeGreaterThan(0)
  })

  test('of the only copy is an error, and the copy is kept', async () => {
    await open(10 * SIZE)
    await write(A)
    await folder.seal(A)
    damageUnpacked(A)
    await expect(readWhole(A)).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
    expect(isUnpacked(A)).toBe(true)
  })

  test('of both copies is an error that mentions both, and both are kept', async () => {
    await writePacked()
    damageUnpacked(A)
    const [chunk] = damagePacked()
    await expect(readWhole(A)).rejects.toMatchObject({
      errorName: 'checkpoint_damaged',
      message: expect.stringMatching(/pages\.img has changed.*packed copy.*chunk /s),
    })
    expect(chunk).toMatch(/^[0-9a-f]{64}$/)
    expect([isUnpacked(A), await isPacked(A)]).toEqual([true, true])
  })

  test.each([
    ['a flipped bit', flipBit, /chunk [0-9a-f]{64} at byte \d+ of '.*': it/],
    ['a cut off end', (path: string) => truncateSync(path, 10), /chunk [0-9a-f]{64} at byte \d+ of '.*': it/],
    ['a missing file', (path: string) => rmSync(path), /it is missing/],
  ])(
    'of packed chunks, %s, is found when they are unpacked, and reported with the chunk',
    async (_, damage, message) => {
      await writePacked(0)
      damagePacked(damage)
      await expect(readWhole(A)).rejects.toMatchObject({
        errorName: 'checkpoint_damaged',
        message: expect.stringMatching(message),
      })
      expect([isUnpacked(A), await isPacked(A)]).toEqual([false, true])
    },
  )
})

test('work on a checkpoint that is deleted meanwhile fails with not_found', async () => {
  await open(SIZE * 10)
  await write(A)
  const working = tiers.use(A, async () => {
    await tiers.remove(A)
    readFileSync(join(folder.paths(A).memoryDir, 'pages.img'))
  })
  await expect(working).rejects.toMatchObject({
    errorName: 'not_found',
    message: `checkpoint '${A}' was deleted meanwhile`,
  })
  await write(A)
  const failing = tiers.use(A, () => Promise.reject(new Error('something else')))
  await expect(failing).rejects.toThrow('something else')
})
