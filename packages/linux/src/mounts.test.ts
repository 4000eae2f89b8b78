import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openIdMap } from './id-map.ts'
import { mountsIn } from './mount-info.ts'
import { cloneMount, detachMount, makeReadOnly, mountTmpfs, unmountLazily } from './mounts.ts'

let dir: string
let source: string
let target: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-mounts-test-'))
  source = join(dir, 'source')
  target = join(dir, 'target')
  for (const path of [source, target]) mkdirSync(path)
  mountTmpfs(source, 'size=1m')
})
afterEach(() => {
  for (const path of [source, target]) {
    while (detachMount(path));
    rmdirSync(path)
  }
  rmdirSync(dir)
})

const codeOf = (work: () => void): unknown => {
  try {
    work()
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

test('a clone shows the same files, and a read-only one refuses to change them', async () => {
  writeFileSync(join(source, 'file'), 'text')
  await cloneMount(source, target, { isReadOnly: true })
  expect(readFileSync(join(target, 'file'), 'utf8')).toBe('text')
  expect(codeOf(() => unlinkSync(join(target, 'file')))).toBe('EROFS')
  expect(mountsIn(target)).toMatchObject([{ target, fileSystem: 'tmpfs', isReadOnly: true }])
})

test('a clone with mapped ids shows and stores other owners', async () => {
  const idMap = await openIdMap([{ inside: 100_000, outside: 0, count: 10 }])
  try {
    await cloneMount(source, target, { idMap })
    chownSync(source, 100_000, 100_000)
    expect(statSync(target).uid).toBe(0)
    chownSync(source, 1, 1)
    expect(statSync(target).uid).toBe(65_534)
    chownSync(source, 100_000, 100_000)
    expect(codeOf(() => writeFileSync(join(target, 'file'), ''))).toBe(undefined)
    expect(statSync(join(source, 'file')).uid).toBe(100_000)
    expect(statSync(join(target, 'file')).uid).toBe(0)
  } finally {
    await idMap.close()
  }
})

test('ids that are mapped already can be mapped differently, since Linux 6.15', async () => {
  const first = await openIdMap([{ inside: 100_000, outside: 0, count: 10 }])
  const second = await openIdMap([{ inside: 100_000, outside: 7, count: 10 }])
  const mapped = join(dir, 'mapped')
  mkdirSync(mapped)
  try {
    chownSync(source, 100_000, 100_000)
    await cloneMount(source, mapped, { idMap: first })
    const [major, minor] = release().split('.').map(Number)
    const work = () => cloneMount(mapped, target, { idMap: second })
    if (major! < 6 || (major === 6 && minor! < 15)) await expect(work()).rejects.toThrow('cannot set options')
    else {
      await work()
      expect([statSync(mapped).uid, statSync(target).uid]).toEqual([0, 7])
    }
  } finally {
    detachMount(mapped)
    rmdirSync(mapped)
    await Promise.all([first.close(), second.close()])
  }
})

test('a folder without a mount is none to detach, and an impossible mount names both paths', async () => {
  expect(detachMount(target)).toBe(false)
  expect(await unmountLazily(target)).toBe(false)
  await expect(cloneMount(join(dir, 'missing'), target)).rejects.toMatchObject({
    code: 'ENOENT',
    message: `cannot open ${join(dir, 'missing')}: ENOENT`,
  })
  makeReadOnly(source)
  expect(mountsIn(source)[0]).toMatchObject({ isReadOnly: true })
})
