import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { CheckpointManifest } from '../checkpoint-folder.ts'
import { ImageStore } from '../images/image-store.ts'
import { collectBuildGarbage } from './collect.ts'
import { LayerCache } from './layers.ts'

const KEYS = { ofCheckpoint: 'a'.repeat(40), ofMachine: 'b'.repeat(40), ofNobody: 'c'.repeat(40) }
const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
const NOTHING = { maxAgeMs: 0, maxBytes: 0 }
let root: string
let layers: LayerCache
let images: ImageStore

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sandlot-collect-'))
  layers = new LayerCache(join(root, 'layers'))
  images = new ImageStore({
    dir: join(root, 'images'),
    baseImage: { path: '/base', key: 'base' },
  })
  await layers.prepare()
  await images.prepare()
  for (const key of Object.values(KEYS)) await images.make(key, record, (file) => writeFile(file, key))
})
afterEach(() => rm(root, { recursive: true }))

const collect = (needs: Record<string, string | undefined>) =>
  collectBuildGarbage(
    {
      ...{ layers, images, limits: NOTHING, checkpointIds: Object.keys(needs) },
      cold: {
        peek: async (id) => (needs[id] ? ({ imagePath: needs[id] } as CheckpointManifest) : undefined),
      },
      imagesInUse: [images.pathOf(KEYS.ofMachine)],
    },
    Date.now() + 3_600_000,
  )
const left = async () => (await images.list()).map(({ key }) => key).sort()

test('an image goes when no checkpoint and no machine needs it', async () => {
  expect(await collect({ packed: images.pathOf(KEYS.ofCheckpoint), other: '/base' })).toMatchObject({
    images: 1,
  })
  expect(await left()).toEqual([KEYS.ofCheckpoint, KEYS.ofMachine])
})

test('none goes while there is a checkpoint of which this machine cannot say what it needs', async () => {
  expect(await collect({ remote: undefined })).toMatchObject({ images: 0 })
  expect(await left()).toHaveLength(3)
})

test('a layer that stays keeps the image that it lies over', async () => {
  await layers.add('layer', images.pathOf(KEYS.ofNobody), (dir) => mkdir(join(dir, 'files')).then(() => {}))
  const limits = { maxAgeMs: 3_600_000, maxBytes: 2 ** 30 }
  await collectBuildGarbage({
    ...{ layers, images, limits, checkpointIds: [], imagesInUse: [] },
    cold: { peek: async () => undefined },
  })
  expect(await left()).toContain(KEYS.ofNobody)
})
