import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageStore } from './image-store.ts'

const KEY = 'a'.repeat(40)
const record = { source: 'template', environment: { defaultUser: 'user', envVars: {} } }
let root: string

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sandlot-images-'))
})
afterEach(() => rm(root, { recursive: true }))

async function open(name: string): Promise<ImageStore> {
  const images = new ImageStore({ dir: join(root, name), baseImage: { path: '/base', key: 'base' } })
  await images.prepare()
  return images
}
const make = (images: ImageStore, content: string) =>
  images.makeVersion(KEY, record, (file) => writeFile(file, content))
const contentOf = async (images: ImageStore) =>
  readFile((await images.find(KEY))?.imagePath ?? 'none', 'utf8').catch(() => undefined)

test('a new version of an image is found, and the previous version is kept', async () => {
  const images = await open('own')
  const first = await make(images, 'first')
  const second = await make(images, 'second')
  expect(await readFile(first.imagePath, 'utf8')).toBe('first')
  expect(await contentOf(images)).toBe('second')
  expect(images.keyOf(second.imagePath)).toBe(second.key)
  expect((await images.list()).map(({ key }) => key).sort()).toEqual([first.key, second.key].sort())
})

test('a removed image leaves nothing, and the newer one stays', async () => {
  const images = await open('own')
  const first = await make(images, 'first')
  const second = await make(images, 'second')
  await images.remove(first.key)
  expect(await contentOf(images)).toBe('second')
  await images.remove(second.key)
  expect(await contentOf(images)).toBeUndefined()
  expect(await readdir(images.dir)).toEqual([])
})

test('linking adds exactly the requested image to another store', async () => {
  const [one, other] = [await open('one'), await open('other')]
  const theirs = await make(other, 'theirs')
  const ours = await make(one, 'ours')
  await one.linkTo(other, ours.key)
  expect(await readFile(other.pathOf(ours.key), 'utf8')).toBe('ours')
  expect(await readFile(theirs.imagePath, 'utf8')).toBe('theirs')
  expect(await contentOf(other)).toBe('theirs')
})

test('a store finds a linked image by the key that the image was made for', async () => {
  const [one, other] = [await open('one'), await open('other')]
  await make(one, 'ours')
  await one.linkTo(other, KEY)
  expect(await contentOf(other)).toBe('ours')
})
