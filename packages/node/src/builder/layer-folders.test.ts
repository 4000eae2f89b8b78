import { writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { LayerFolders, linkFolder } from './layer-folders.ts'

const OVER = { imagePath: '/image' }
let dir: string
let layers: LayerFolders
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-layers-'))
  layers = new LayerFolders(join(dir, 'layers'))
  await layers.prepare()
})
afterEach(() => rm(dir, { recursive: true }))

const save = (content: string) => (to: string) => writeFile(join(to, 'files'), content)

test('a finished layer is found with its image; a failed one leaves nothing', async () => {
  await layers.add('a', OVER, save('x'))
  expect(await layers.find('a')).toEqual(OVER)
  expect(await readFile(join(layers.pathOf('a'), 'files'), 'utf8')).toBe('x')
  await expect(layers.add('b', OVER, () => Promise.reject(new Error('full')))).rejects.toThrow('full')
  expect(await layers.find('b')).toBeUndefined()
  expect(await readdir(join(dir, 'layers'))).toEqual(['a'])
})

test('the next start removes half-written files of a crash', async () => {
  await layers
    .add('a', OVER, async () => {
      await layers.prepare()
    })
    .catch(() => {})
  await layers.add('half', OVER, (to) => writeFile(join(to, '.writing-files'), 'x'))
  await layers.prepare()
  expect(await readdir(join(dir, 'layers'))).toEqual(['half'])
  expect(await readdir(layers.pathOf('half'))).toEqual(['layer.json'])
})

test('finding a layer counts as a use', async () => {
  await layers.add('old', OVER, save('x'))
  await layers.add('new', OVER, save('x'))
  const before = new Date(Date.now() - 60_000)
  await utimes(join(dir, 'layers/old/layer.json'), before, before)
  expect((await layers.list()).map(({ key }) => key)).toEqual(['old', 'new'])
  await layers.find('old')
  expect((await layers.list()).map(({ key }) => key)).toEqual(['new', 'old'])
})

test('files that were linked out of a layer outlive it', async () => {
  await layers.add('a', OVER, save('kept'))
  await linkFolder(layers.pathOf('a'), join(dir, 'copy'))
  await layers.remove('a')
  expect(await layers.find('a')).toBeUndefined()
  expect(await readFile(join(dir, 'copy/files'), 'utf8')).toBe('kept')
})

test('a layer whose files are packed during a list is still listed', async () => {
  for (let round = 0; round < 8; round++) {
    await layers.add('a', OVER, async (to) => {
      await mkdir(join(to, 'files'))
      for (let i = 0; i < 1_000; i++) writeFileSync(join(to, 'files', String(i)), 'x')
    })
    const listing = Array.from({ length: 4 }, () => layers.list())
    await delay(5)
    await rm(join(layers.pathOf('a'), 'files'), { recursive: true })
    for (const listed of await Promise.all(listing)) expect(listed.map(({ key }) => key)).toEqual(['a'])
  }
})
