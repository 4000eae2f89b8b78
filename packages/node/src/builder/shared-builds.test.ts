import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageStore } from '../images/image-store.ts'
import { LayerCache } from './layers.ts'
import { SharedBuilds } from './shared-builds.ts'

const KEY = 'a'.repeat(40)
const IMAGE = 'b'.repeat(40)
const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
let root: string
let errors: unknown[]

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sandlot-shared-'))
  errors = []
})
afterEach(() => rm(root, { recursive: true }))

const openImages = (dir: string) => new ImageStore({ dir, baseImage: { path: '/base', key: 'base' } })

/** One instance on the machine. */
async function instance(name: string) {
  const own = {
    layers: new LayerCache(join(root, name, 'layers')),
    images: openImages(join(root, name, 'images')),
  }
  await own.layers.prepare()
  await own.images.prepare()
  const shared = new SharedBuilds(join(root, 'shared'), own, openImages, (error) => errors.push(error))
  return { ...own, shared }
}

async function build({ layers, images }: Awaited<ReturnType<typeof instance>>, imagePath?: string) {
  const image = imagePath ?? (await images.make(IMAGE, record, (file) => writeFile(file, 'image'))).imagePath
  await layers.add(KEY, image, async (dir) => {
    for (const part of ['memory', 'files']) {
      await mkdir(join(dir, part))
      await writeFile(join(dir, part, 'content'), part)
    }
  })
}

test('what one instance built another has at once, with its image and without bytes of its own', async () => {
  const [one, other] = [await instance('one'), await instance('other')]
  await build(one)
  await one.shared.offer(KEY)
  await other.shared.adopt(KEY)
  const found = (await other.layers.find(KEY))!
  expect(found.layer.imagePath).toBe(other.images.pathOf(IMAGE))
  expect(await readFile(join(found.dir, 'memory', 'content'), 'utf8')).toBe('memory')
  const inode = async (path: string) => (await stat(path)).ino
  expect(await inode(other.images.pathOf(IMAGE))).toBe(await inode(one.images.pathOf(IMAGE)))
  expect(errors).toEqual([])
})

test('it outlives the instance that built it, and its removal from what is shared', async () => {
  const [one, other] = [await instance('one'), await instance('other')]
  await build(one)
  await one.shared.offer(KEY)
  await other.shared.adopt(KEY)
  await rm(join(root, 'one'), { recursive: true })
  await other.shared.removeUnused(Date.now() + 1_000)
  const late = await instance('late')
  await late.shared.adopt(KEY)
  expect(await late.layers.find(KEY)).toBeUndefined()
  expect(await readFile(other.images.pathOf(IMAGE), 'utf8')).toBe('image')
  expect((await other.layers.find(KEY))?.layer.fileSystemDir).toBeDefined()
  expect(errors).toEqual([])
})

test('a layer over the base image names the base image in every instance', async () => {
  const [one, other] = [await instance('one'), await instance('other')]
  await build(one, '/base')
  await one.shared.offer(KEY)
  await other.shared.adopt(KEY)
  expect((await other.layers.find(KEY))?.layer.imagePath).toBe('/base')
})

test('trouble with what is shared fails no build', async () => {
  const one = await instance('one')
  await build(one)
  await writeFile(join(root, 'shared'), 'a file where a folder should be')
  await one.shared.offer(KEY)
  await one.shared.adopt(KEY)
  expect(errors.length).toBeGreaterThan(0)
})
