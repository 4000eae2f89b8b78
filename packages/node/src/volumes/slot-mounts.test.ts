import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bindMount, mountsIn } from '@sandlot/linux'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { pathExists } from '../host/path-exists.ts'
import { SLOT_COUNT, SlotMounts } from './slot-mounts.ts'

let parent: string
let dir: string
let volume: string
let mounts: SlotMounts
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'sandlot-slots-test-'))
  dir = join(parent, 'run')
  volume = join(parent, 'volume')
  mkdirSync(volume)
  writeFileSync(join(volume, 'precious'), 'data')
  mounts = new SlotMounts(dir)
  mounts.prepare()
})
afterEach(() => {
  mounts.removeAll()
  expect(readFileSync(join(volume, 'precious'), 'utf8')).toBe('data')
  unlinkSync(join(volume, 'precious'))
  rmdirSync(volume)
  rmdirSync(parent)
})

const targets = () => mountsIn(dir).map(({ target }) => target.slice(dir.length))

test('a machine has empty slots that nobody can write to', () => {
  mounts.open('m1')
  expect(readdirSync(mounts.dirOf('m1')).length).toBe(SLOT_COUNT)
  expect(() => writeFileSync(join(mounts.dirOf('m1'), '0', 'x'), '')).toThrow('EROFS')
})

test('a volume is in one slot of one machine, until it is unbound', async () => {
  mounts.open('m1')
  mounts.open('m2')
  await mounts.bind('m1', 3, volume, {})
  expect(readdirSync(join(mounts.dirOf('m1'), '3'))).toEqual(['precious'])
  expect(readdirSync(join(mounts.dirOf('m2'), '3'))).toEqual([])
  expect([mounts.bound('m1'), mounts.bound('m2')]).toEqual([[3], []])
  for (let i = 0; i < 2; i++) await mounts.unbind('m1', 3)
  expect(readdirSync(join(mounts.dirOf('m1'), '3'))).toEqual([])
})

test('the end of a machine unmounts its volumes and deletes nothing in them', async () => {
  mounts.open('m1')
  await mounts.bind('m1', 0, volume, {})
  await mounts.bind('m1', 15, volume, { isReadOnly: true })
  for (let i = 0; i < 2; i++) await mounts.close('m1')
  expect(mounts.list()).toEqual([])
  expect(targets()).toEqual(['/volumes', '/slots'])
  expect(readdirSync(volume)).toEqual(['precious'])
})

test('a folder of a machine that contains files is left alone', async () => {
  mkdirSync(mounts.dirOf('m1'))
  writeFileSync(join(mounts.dirOf('m1'), 'file'), '')
  await expect(mounts.close('m1')).rejects.toThrow('ENOTEMPTY')
  unlinkSync(join(mounts.dirOf('m1'), 'file'))
})

test('a start finds the mounts of a former one and adds none', async () => {
  mounts.open('m1')
  await mounts.bind('m1', 1, volume, {})
  const before = targets()
  const next = new SlotMounts(dir)
  next.prepare()
  expect(targets()).toEqual(before)
  expect(next.list()).toEqual(['m1'])
  expect([next.bound('m1'), next.has('m1'), next.has('m2')]).toEqual([[1], true, false])
})

test('a start finishes what a crash interrupted', () => {
  mounts.removeAll()
  for (const path of [dir, join(dir, 'volumes')]) mkdirSync(path)
  bindMount(join(dir, 'volumes'), join(dir, 'volumes'))
  mounts.prepare()
  expect(mountsIn(dir)).toMatchObject([
    { target: join(dir, 'volumes'), isShared: true },
    { target: join(dir, 'slots'), isShared: false, isReadOnly: true },
  ])
  expect(readdirSync(join(dir, 'slots')).length).toBe(SLOT_COUNT)
})

test('removing everything leaves no folder, with volumes mounted too', async () => {
  mounts.open('m1')
  await mounts.bind('m1', 1, volume, {})
  for (let i = 0; i < 2; i++) mounts.removeAll()
  expect(await pathExists(dir)).toBe(false)
})
