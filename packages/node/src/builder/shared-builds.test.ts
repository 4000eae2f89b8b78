import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ImageStore } from '../images/image-store.ts'
import { linkFolder } from './layer-folders.ts'
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

/** Simulates an instance on the machine. */
async function instance(name: string) {
  const dir = join(root, name)
  const images = openImages(join(dir, 'images'))
  await images.prepare()
  const shared = new SharedBuilds(join(root, 'shared'), images, openImages, (error) => errors.push(error))
  /** Claims the build as a new build does, by linking the files to a checkpoint's folder. */
  const adopt = () =>
    shared.claim(KEY, async (booted) => {
      await linkFolder(booted.dir, join(dir, 'adopted'))
      return booted.imagePath
    })
  return { dir, images, shared, adopt }
}
type Instance = Awaited<ReturnType<typeof instance>>

async function build({ dir, images }: Instance, image?: string) {
  const imagePath = image ?? (await images.make(IMAGE, record, (file) => writeFile(file, 'image'))).imagePath
  for (const part of ['memory', 'files']) {
    await mkdir(join(dir, 'built', part), { recursive: true })
    await writeFile(join(dir, 'built', part, 'content'), part)
  }
  return { dir: join(dir, 'built'), imagePath }
}
const inode = async (path: string) => (await stat(path)).ino

test('a build of one instance is available to another, with its image and without using disk space', async () => {
  const [one, other] = [await instance('one'), await instance('other')]
  await one.shared.publish(KEY, await build(one))
  expect(await other.adopt()).toBe(other.images.pathOf(IMAGE))
  expect(await readFile(join(other.dir, 'adopted', 'memory', 'content'), 'utf8')).toBe('memory')
  expect(await inode(other.images.pathOf(IMAGE))).toBe(await inode(one.images.pathOf(IMAGE)))
  expect(await inode(join(other.dir, 'adopted/files/content'))).toBe(
    await inode(join(one.dir, 'built/files/content')),
  )
  expect(errors).toEqual([])
})

test('a linked build outlives the instance that built it, and its removal from the shared folder', async () => {
  const [one, other] = [await instance('one'), await instance('other')]
  await one.shared.publish(KEY, await build(one))
  await other.adopt()
  await rm(join(root, 'one'), { recursive: true })
  await other.shared.removeUnused(Date.now() + 1_000)
  const late = await instance('late')
  expect(await late.adopt()).toBeUndefined()
  expect(await readFile(other.images.pathOf(IMAGE), 'utf8')).toBe('image')
  expect(await readFile(join(other.dir, 'adopted', 'files', 'content'), 'utf8')).toBe('files')
  expect(errors).toEqual([])
})

test('a build over the base image refers to the base image in every instance', async () => {
  const [one, other] = [await instance('one'), await instance('other')]
  await one.shared.publish(KEY, await build(one, '/base'))
  expect(await other.adopt()).toBe('/base')
})

test('an instance on another disk reads shared builds and publishes none', async () => {
  const disk = await mkdtemp('/dev/shm/sandlot-shared-')
  try {
    const [here, there] = [await instance('here'), await instance(relative(root, join(disk, 'there')))]
    const built = await build(there)
    await there.shared.publish(KEY, built)
    await there.shared.publishImage(IMAGE)
    expect(await here.adopt()).toBeUndefined()
    await here.shared.claimImage(IMAGE)
    expect(await here.images.find(IMAGE)).toBeUndefined()

    await there.images.remove(IMAGE)
    await here.shared.publish(KEY, await build(here))
    expect(await there.adopt()).toBe(there.images.pathOf(IMAGE))
    expect(await readFile(there.images.pathOf(IMAGE), 'utf8')).toBe('image')
    expect(errors).toEqual([])
  } finally {
    await rm(disk, { recursive: true })
  }
})

test('failures of the shared folder do not fail builds', async () => {
  const one = await instance('one')
  const built = await build(one)
  await writeFile(join(root, 'shared'), 'a file where a folder should be')
  await one.shared.publish(KEY, built)
  await one.shared.publishImage(IMAGE)
  expect(await one.adopt()).toBeUndefined()
  expect(errors.length).toBeGreaterThan(0)
})
