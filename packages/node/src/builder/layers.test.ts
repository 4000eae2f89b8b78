import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import { Layers, LostLayer } from './layers.ts'

let dir: string
let packed: PackedCheckpoints
let layers: Layers
let errors: unknown[]

async function open(unpackedBytes = 0): Promise<void> {
  packed = await PackedCheckpoints.open({ dir: join(dir, 'packed'), logger: pino({ level: 'silent' }) })
  layers = new Layers({ dir, packed, unpackedBytes, onError: (error) => errors.push(error) })
  await layers.prepare()
}

beforeEach(async () => {
  errors = []
  dir = await mkdtemp(join(tmpdir(), 'sandlot-layers-'))
  await open()
})
afterEach(async () => {
  await layers.close()
  await rm(dir, { recursive: true })
  expect(errors).toEqual([])
})

/** Returns pages with different content for each name. */
const pagesOf = (name: string, count = 256): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, (_, index) =>
      Buffer.alloc(4096, createHash('sha256').update(`${name} ${index}`).digest()),
    ),
  )
const save =
  (...names: string[]) =>
  async (filesDir: string) => {
    await mkdir(filesDir)
    await writeFile(join(filesDir, 'pages.img'), Buffer.concat(names.map((name) => pagesOf(name))))
  }
/** Adds and packs a layer as a build does. */
async function make(key: string, ...names: string[]): Promise<void> {
  await layers.add(key, '/image', save(...names))
  layers.pack(key, { isTransient: false })
}
const filesOf = (key: string) => join(dir, key, 'files')
const whenPacked = (key: string) =>
  vi.waitFor(() => expect(existsSync(filesOf(key))).toBe(false), { timeout: 20_000 })
const pages = (filesDir: string) => readFile(join(filesDir, 'pages.img'))

test('a packed layer is unpacked only while it is in use', async () => {
  await make('a', 'first')
  expect(existsSync(filesOf('a'))).toBe(true)
  await whenPacked('a')
  expect(await layers.find('a')).toMatchObject({ imagePath: '/image' })
  const read = async (filesDir: string) => (await pages(filesDir)).equals(pagesOf('first'))
  const all = await Promise.all([layers.use('a', read), layers.use('a', read)])
  expect(all).toEqual([true, true])
  expect(await readdir(join(dir, 'a'))).toEqual(['layer.json'])
})

test('files of a layer that is in use during its pack are removed with the last user', async () => {
  await make('a', 'first')
  await layers.use('a', async (filesDir) => {
    // packs run one at a time: when the second is packed, the first one is done
    await make('b', 'second')
    await whenPacked('b')
    expect((await pages(filesDir)).equals(pagesOf('first'))).toBe(true)
  })
  await whenPacked('a')
})

test('the most recently used layers stay unpacked within the budget, except transient ones', async () => {
  await layers.close()
  // two of 1 MiB
  await open(2.5 * 2 ** 20)
  for (const key of ['a', 'b']) await make(key, key)
  await layers.add('passing', '/image', save('passing'))
  layers.pack('passing', { isTransient: true })
  await whenPacked('passing')
  expect([existsSync(filesOf('a')), existsSync(filesOf('b'))]).toEqual([true, true])
  await layers.use('a', async () => {})
  await make('c', 'c')
  await whenPacked('b')
  expect([existsSync(filesOf('a')), existsSync(filesOf('c'))]).toEqual([true, true])

  await layers.close()
  await open(1.5 * 2 ** 20)
  expect(['a', 'b', 'c'].filter((key) => existsSync(filesOf(key)))).toHaveLength(1)
})

test('common content of two steps is stored once', async () => {
  await make('a', 'first')
  await whenPacked('a')
  await make('b', 'first', 'second')
  await whenPacked('b')
  const sizes = (await layers.list()).map(({ sizeBytes }) => sizeBytes)
  const stored = (await packed.usage(await packed.list())).storedBytes
  const alone = (await packed.usage((await packed.list()).slice(0, 1))).checkpoints
  expect(stored).toBeLessThan(2.2 * Math.max(...Object.values(alone).map((usage) => usage.storedBytes)))
  // the folders themselves take some blocks
  expect(sizes.reduce((sum, size) => sum + size, 0) - stored).toBeLessThan(64 * 1024)
})

test('a step that is built again replaces its layer', async () => {
  await make('a', 'first')
  await whenPacked('a')
  await make('a', 'second')
  await whenPacked('a')
  await layers.use('a', async (filesDir) =>
    expect((await pages(filesDir)).equals(pagesOf('second'))).toBe(true),
  )
})

test('a layer that a crash left unpacked is packed by the next start', async () => {
  const packing = vi.spyOn(packed, 'pack').mockReturnValue(new Promise(() => {}))
  const unpacked = new Layers({ dir, packed, onError: () => {} })
  await unpacked.add('a', '/image', save('first'))
  packing.mockRestore()
  await layers.close()
  await open()
  await whenPacked('a')
  await layers.use('a', async (filesDir) =>
    expect((await pages(filesDir)).equals(pagesOf('first'))).toBe(true),
  )
})

test('a layer whose chunks are damaged or gone is lost, and is not found again', async () => {
  for (const [key, damage] of [
    ['damaged', (file: string) => writeFile(file, 'rotten')],
    ['gone', (file: string) => rm(file)],
  ] as const) {
    await make(key, key)
    await whenPacked(key)
    const chunks = join(dir, 'packed', 'chunks')
    for (const folder of await readdir(chunks))
      for (const chunk of await readdir(join(chunks, folder))) await damage(join(chunks, folder, chunk))
    await expect(layers.use(key, async () => {})).rejects.toThrow(LostLayer)
    expect(await layers.find(key)).toBeUndefined()
  }
})

test('a layer in use is not removed', async () => {
  await make('a', 'first')
  await layers.use('a', () => layers.remove('a'))
  expect(await layers.find('a')).toBeDefined()
  await layers.remove('a')
  expect(await layers.find('a')).toBeUndefined()
})

test('a layer that is removed before its use is lost', async () => {
  await layers.add('a', '/image', save('first'))
  await layers.remove('a')
  await expect(layers.use('a', async () => {})).rejects.toThrow(LostLayer)
})

test('unpacked layers of an earlier version are removed at the start', async () => {
  await mkdir(join(dir, 'old'), { recursive: true })
  await save('first')(filesOf('old'))
  await writeFile(join(dir, 'old', 'layer.json'), JSON.stringify({ imagePath: '/image' }))
  await layers.prepare()
  expect(existsSync(join(dir, 'old'))).toBe(false)
})

test('two builds of one step both finish', async () => {
  await make('a', 'before')
  const saved = Promise.withResolvers<void>()
  const adding = ['first', 'second'].map((name) =>
    layers.add('a', '/image', async (filesDir) => {
      await save(name)(filesDir)
      await saved.promise
    }),
  )
  saved.resolve()
  await Promise.all(adding)
  expect(await layers.find('a')).toBeDefined()
})

test('files are not replaced during their use, and later users get the new files', async () => {
  await layers.add('a', '/image', save('first'))
  let adding: Promise<void> | undefined
  const firstOf = async (filesDir: string) => (await pages(filesDir)).equals(pagesOf('first'))
  const wasFirst = await layers.use('a', async (filesDir) => {
    const isSaved = Promise.withResolvers<void>()
    adding = layers.add('a', '/image', async (to) => {
      await save('second')(to)
      isSaved.resolve()
    })
    await isSaved.promise
    await new Promise((done) => setTimeout(done, 100))
    return firstOf(filesDir)
  })
  expect(wasFirst).toBe(true)
  await adding
  expect(await layers.use('a', firstOf)).toBe(false)
})
