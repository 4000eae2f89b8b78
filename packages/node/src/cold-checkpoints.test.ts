import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CheckpointFolder } from './checkpoint-folder.ts'
import { type Checkpoints, createCheckpoints } from './checkpoints/checkpoints.ts'
import { ColdCheckpoints } from './cold-checkpoints.ts'

const idOf = (letter: string) => `c${letter.repeat(20)}`
const [A, B, C, D] = [idOf('a'), idOf('b'), idOf('c'), idOf('d')]
const SIZE = 200_000
/** Packing has idle priority: beside other tests it takes its time. */
const PACKED_WITHIN_MS = 60_000
vi.setConfig({ testTimeout: 3 * PACKED_WITHIN_MS })

let dir: string
let folder: CheckpointFolder
let packed: Checkpoints
let cold: ColdCheckpoints
let errors: unknown[]
const contents = new Map<string, Buffer>()

async function open(unpackedBytes: number): Promise<void> {
  packed = await createCheckpoints({ dir: join(dir, 'packed'), logger: pino({ level: 'silent' }) })
  cold = new ColdCheckpoints({ folder, packed, unpackedBytes, onError: (error) => errors.push(error) })
}
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-cold-'))
  folder = new CheckpointFolder(join(dir, 'checkpoints'))
  await folder.prepare()
  errors = []
})
afterEach(async () => {
  await cold.close()
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
  cold.use(id, async () => readFileSync(join(folder.paths(id).memoryDir, 'pages.img')))

test('what is over the budget is only kept packed, and is as it was when it is used', async () => {
  await open(0)
  await write(A)
  cold.pack(A)
  await expect.poll(() => isUnpacked(A), { timeout: PACKED_WITHIN_MS }).toBe(false)
  expect([...(await cold.list())]).toEqual([A])
  expect(await read(A)).toEqual(contents.get(A))
})

test('within the budget the unpacked copies that were used last stay', async () => {
  await open(3.5 * SIZE)
  // they are packed in turn: what was packed before the last is counted
  for (const id of [A, B, C]) {
    await write(id)
    cold.pack(id)
    await expect.poll(() => isPacked(id), { timeout: PACKED_WITHIN_MS }).toBe(true)
  }
  await read(A)
  await write(D)
  cold.pack(D)
  await expect.poll(() => isUnpacked(B), { timeout: PACKED_WITHIN_MS }).toBe(false)
  expect([A, C, D].map(isUnpacked)).toEqual([true, true, true])
})

test('one that is in use stays unpacked whatever the budget', async () => {
  await open(0)
  await write(A)
  await cold.use(A, async () => {
    cold.pack(A)
    await expect.poll(() => isPacked(A), { timeout: PACKED_WITHIN_MS }).toBe(true)
    expect(isUnpacked(A)).toBe(true)
  })
})

test('many who want the same one at once wait for one unpacking', async () => {
  await open(0)
  await write(A)
  cold.pack(A)
  await expect.poll(() => isUnpacked(A), { timeout: PACKED_WITHIN_MS }).toBe(false)
  const all = await Promise.all(Array.from({ length: 10 }, () => read(A)))
  for (const content of all) expect(content).toEqual(contents.get(A))
})

test('a removed one is gone packed and unpacked', async () => {
  await open(10 * SIZE)
  await write(A)
  cold.pack(A)
  await expect.poll(() => isPacked(A), { timeout: PACKED_WITHIN_MS }).toBe(true)
  await cold.remove(A)
  expect([await cold.list(), isUnpacked(A), await isPacked(A)]).toEqual([new Set(), false, false])
  await expect(read(A)).rejects.toMatchObject({ errorName: 'not_found' })
})

test('a start packs what a crash left unpacked', async () => {
  await open(0)
  await write(A)
  await cold.close()
  await open(0)
  await cold.recover()
  await expect.poll(() => isUnpacked(A), { timeout: PACKED_WITHIN_MS }).toBe(false)
  expect(await read(A)).toEqual(contents.get(A))
})
