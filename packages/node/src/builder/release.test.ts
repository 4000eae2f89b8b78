import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageStore } from '../images/image-store.ts'
import { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import type { CheckpointManifest } from '../persistence/checkpoint-manifest.ts'
import { Layers } from './layers.ts'
import { planRelease, releaseTemplate } from './release.ts'
import { SharedBuilds } from './shared-builds.ts'

const IMAGE = 'a'.repeat(40)
const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
let root: string
let layers: Layers
let images: ImageStore
let shared: SharedBuilds
/** Checkpoints of this machine; null: the checkpoint cannot be read. */
let checkpoints: Record<string, Partial<CheckpointManifest> | null>

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sandlot-release-'))
  const openImages = (dir: string) =>
    new ImageStore({ dir: join(root, dir), baseImage: { path: '/base', key: 'base' } })
  const fail = (error: unknown) => {
    throw error
  }
  const dir = join(root, 'layers')
  const packed = await PackedCheckpoints.open({ dir: join(dir, 'packed'), logger: pino({ level: 'silent' }) })
  layers = new Layers({ dir, packed, onError: fail })
  images = openImages('images')
  shared = new SharedBuilds(join(root, 'shared'), images, () => openImages('shared/images'), fail)
  await layers.prepare()
  await images.prepare()
  await images.make(IMAGE, record, (file) => writeFile(file, 'image'))
  for (const key of ['step', 'other'])
    await layers.add(key, key === 'other' ? '/base' : images.pathOf(IMAGE), async (filesDir) => {
      await mkdir(filesDir)
    })
  const booted = join(root, 'booted')
  for (const part of ['memory', 'files']) await mkdir(join(booted, part), { recursive: true })
  await shared.publish('booted', { dir: booted, imagePath: images.pathOf(IMAGE) })
  const template = { ...record, keys: ['step', 'booted'] }
  checkpoints = { mine: { imagePath: images.pathOf(IMAGE), template } }
})
afterEach(async () => {
  await layers.close()
  await rm(root, { recursive: true })
})

async function release(imagesInUse: string[] = []) {
  const tiers = {
    list: async () => new Set(Object.keys(checkpoints)),
    peek: async (id: string) => (checkpoints[id] ?? undefined) as CheckpointManifest | undefined,
  }
  const options = { layers, images, shared, tiers, imagesInUse: () => imagesInUse }
  const plan = JSON.parse(JSON.stringify(await planRelease(options, ['mine'])))
  delete checkpoints.mine
  return releaseTemplate(options, plan)
}
test.each(['../base', '/etc/passwd', '.', '..', 'a/b', ''])(
  'a plan that names %j is refused and nothing is removed',
  async (key) => {
    const options = {
      layers,
      images,
      shared,
      tiers: { list: async () => new Set<string>(), peek: async () => undefined },
      imagesInUse: () => [],
    }
    for (const plan of [
      { layerKeys: ['step', key], imageKeys: [] },
      { layerKeys: ['step'], imageKeys: [key] },
    ])
      await expect(releaseTemplate(options as never, plan)).rejects.toMatchObject({
        errorName: 'invalid_request',
      })
    expect((await left()).layers).toEqual(['other', 'step'])
  },
)

const left = async () => ({
  layers: (await layers.list()).map(({ key }) => key).sort(),
  images: (await images.list()).length,
})
/** Whether an identical build finds the result among the shared builds. */
const isShared = async (): Promise<boolean> => (await shared.claim('booted', async () => true)) === true

test('layers and image of the template are removed, own and shared; others are kept', async () => {
  expect(await isShared()).toBe(true)
  expect(await release()).toMatchObject({ neededBy: 0 })
  expect(await left()).toEqual({ layers: ['other'], images: 0 })
  expect(await isShared()).toBe(false)
})

test('the image is kept for a snapshot, a paused sandbox or a machine that needs it', async () => {
  checkpoints.snapshot = { imagePath: images.pathOf(IMAGE) }
  expect(await release([images.pathOf(IMAGE)])).toMatchObject({ neededBy: 2 })
  expect(await left()).toEqual({ layers: ['other'], images: 1 })
})

test('no image is removed while a checkpoint cannot be read', async () => {
  checkpoints.remote = null
  expect(await release()).toMatchObject({ neededBy: 1 })
  expect((await left()).images).toBe(1)
})

test('layers that another template shares are kept', async () => {
  checkpoints.other = { imagePath: '/base', template: { ...record, keys: ['step'] } }
  await release()
  expect((await left()).layers).toEqual(['other', 'step'])
  expect(await isShared()).toBe(false)
})
