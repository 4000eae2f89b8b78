import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { pathsInImage } from './image-paths.ts'

let dir: string
let image: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-image-'))
  const root = join(dir, 'root')
  image = join(dir, 'image.erofs')
  mkdirSync(join(root, 'etc'), { recursive: true })
  writeFileSync(join(root, 'etc/with\nline break'), '')
  symlinkSync('/nowhere', join(root, 'etc/dangling'))
  execFileSync('mkfs.erofs', ['--quiet', image, root], { timeout: 20_000 })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('files, directories and dangling links are there, whatever their names; others are not', async () => {
  const there = ['/etc', '/etc/with\nline break', '/etc/dangling']
  expect([...(await pathsInImage(image, [...there, '/etc/no', '/proc/self', '/nowhere']))]).toEqual(there)
})

test('nothing is left mounted', async () => {
  const mounts = () =>
    readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes('erofs')).length
  const before = mounts()
  await pathsInImage(image, ['/etc'])
  expect(mounts()).toBe(before)
})

test('an image that cannot be read is an error, not an empty answer', async () => {
  const broken = join(dir, 'broken.erofs')
  writeFileSync(broken, Buffer.alloc(4096))
  await expect(pathsInImage(broken, ['/etc'])).rejects.toThrow()
})

test('many paths are asked for at once', async () => {
  const asked = Array.from({ length: 20_000 }, (_, i) => `/no/${i}`)
  expect((await pathsInImage(image, [...asked, '/etc'])).size).toBe(1)
})
