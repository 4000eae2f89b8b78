import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ImageStore } from '../images/image-store.ts'
import { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import { age, filesBelow } from '../packed/raw-folders.fixture.ts'
import type { CheckpointManifest } from '../persistence/checkpoint-manifest.ts'
import { BootedBuilds } from './booted-builds.ts'
import { collectBuildGarbage } from './collect.ts'
import { Layers } from './layers.ts'

const KEYS = { ofCheckpoint: 'a'.repeat(40), ofMachine: 'b'.repeat(40), ofNobody: 'c'.repeat(40) }
const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
const onError = (error: unknown) => {
  throw error
}
const WAIT = { timeout: 20_000 }
const NOTHING = { maxAgeMs: 0, maxBytes: 0 }
let root: string
let packed: PackedCheckpoints
let layers: Layers
let booted: BootedBuilds
let images: ImageStore

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sandlot-collect-'))
  const logger = pino({ level: 'silent' })
  packed = await PackedCheckpoints.open({ dir: join(root, 'layers', 'packed'), logger, graceMs: 0 })
  layers = new Layers({ dir: join(root, 'layers'), packed, onError })
  booted = new BootedBuilds(join(root, 'booted'))
  await booted.prepare()
  images = new ImageStore({
    dir: join(root, 'images'),
    baseImage: { path: '/base', key: 'base' },
  })
  await layers.prepare()
  await images.prepare()
  for (const key of Object.values(KEYS)) await images.make(key, record, (file) => writeFile(file, key))
})
afterEach(async () => {
  await layers.close()
  await rm(root, { recursive: true })
})

const collect = (needs: Record<string, string | undefined>) =>
  collectBuildGarbage(
    {
      layers,
      booted,
      images,
      limits: NOTHING,
      checkpointIds: new Set(Object.keys(needs)),
      tiers: {
        peek: async (id) => (needs[id] ? ({ imagePath: needs[id] } as CheckpointManifest) : undefined),
      },
      imagesInUse: [images.pathOf(KEYS.ofMachine)],
    },
    Date.now() + 3_600_000,
  )
const left = async () => (await images.list()).map(({ key }) => key).sort()

test('an image is removed when no checkpoint and no machine needs it', async () => {
  expect(await collect({ packed: images.pathOf(KEYS.ofCheckpoint), other: '/base' })).toMatchObject({
    images: 1,
  })
  expect(await left()).toEqual([KEYS.ofCheckpoint, KEYS.ofMachine])
})

test('no image is removed while a checkpoint cannot be read', async () => {
  expect(await collect({ remote: undefined })).toMatchObject({ images: 0 })
  expect(await left()).toHaveLength(3)
})

test('the image below a kept layer is kept', async () => {
  await layers.add('layer', images.pathOf(KEYS.ofNobody), (dir) => mkdir(dir).then(() => {}))
  const limits = { maxAgeMs: 3_600_000, maxBytes: 2 ** 30 }
  await collectBuildGarbage({
    layers,
    booted,
    images,
    limits,
    checkpointIds: new Set<string>(),
    imagesInUse: [],
    tiers: { peek: async () => undefined },
  })
  expect(await left()).toContain(KEYS.ofNobody)
})

test('chunks are removed with the last layer that needs them', async () => {
  const both = Buffer.alloc(2 ** 20, 'both')
  const add = async (key: string, own: string) => {
    await layers.add(key, '/base', async (dir) => {
      await mkdir(dir)
      await writeFile(join(dir, 'pages.img'), Buffer.concat([both, Buffer.alloc(2 ** 20, own)]))
    })
    layers.pack(key, { isTransient: true })
  }
  const chunks = async () =>
    (await readdir(join(root, 'layers/packed/chunks'), { recursive: true })).filter(
      (name) => name.length > 60,
    )
  await add('one', 'one')
  await vi.waitFor(async () => expect(await packed.list()).toHaveLength(1), WAIT)
  const ofOne = (await chunks()).length
  await add('other', 'other')
  await vi.waitFor(async () => expect(await packed.list()).toHaveLength(2), WAIT)
  const ofBoth = (await chunks()).length
  expect(ofBoth).toBeLessThan(2 * ofOne)
  await layers.remove('one')
  // older than the tolerated difference of clocks
  await age(await filesBelow(join(root, 'layers/packed/chunks')))
  await layers.collectChunks()
  expect((await chunks()).length).toBe(ofOne)
  await layers.remove('other')
  await layers.collectChunks()
  expect(await chunks()).toEqual([])
})

test('a booted result is forgotten with its checkpoint', async () => {
  const [here, gone] = [`c${'0'.repeat(20)}`, `c${'1'.repeat(20)}`]
  await booted.add('of-here', here)
  await booted.add('of-gone', gone)
  await collect({ [here]: '/base' })
  expect([await booted.find('of-here'), await booted.find('of-gone')]).toEqual([here, undefined])
})
