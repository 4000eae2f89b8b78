import { expect, test } from 'vitest'
import { SLOT_COUNT } from './slot-mounts.ts'
import { type MountedVolume, VolumeTable } from './volume-table.ts'

const mount = (volumeId: string, path: string, isReadOnly = false) => ({
  volumeId,
  name: volumeId,
  path,
  isReadOnly,
})
const mounted = (slot: number, volumeId: string, path: string, more: Partial<MountedVolume> = {}) => ({
  ...mount(volumeId, path),
  slot,
  isBound: true,
  ...more,
})

test('what is mounted as wanted is left alone', () => {
  const table = new VolumeTable([mounted(0, 'a', '/a')])
  expect(table.plan([{ volumeId: 'a', name: 'renamed', path: '/a' }])).toEqual({ unmount: [], mount: [] })
})

test('what differs in volume, path or writability is unmounted and mounted', () => {
  const [a, b] = [mounted(0, 'a', '/a'), mounted(1, 'b', '/b')]
  const table = new VolumeTable([a, b])
  const wanted = [mount('a', '/a', true), mount('c', '/b')]
  expect(table.plan(wanted)).toEqual({ unmount: [b, a], mount: wanted })
})

test('a volume that was not there at the restore is mounted again from another slot', () => {
  const lost = mounted(0, 'a', '/a', { isBound: false })
  const table = new VolumeTable([lost])
  const wanted = [mount('a', '/a')]
  expect(table.plan(wanted)).toEqual({ unmount: [lost], mount: wanted })
  expect(table.freeSlot(wanted[0]!)).toBe(1)
  expect(table.plan(wanted, () => true)).toEqual({ unmount: [], mount: [] })
})

test('volumes below a path that changes are mounted again, outer ones first', () => {
  const [outer, inner] = [mounted(0, 'a', '/data'), mounted(1, 'b', '/data/inner')]
  const table = new VolumeTable([outer, inner])
  const wanted = [mount('b', '/data/inner'), mount('c', '/data')]
  const { unmount, mount: added } = table.plan(wanted)
  expect(unmount).toEqual([inner, outer])
  expect(added.map(({ path }) => path)).toEqual(['/data', '/data/inner'])
})

test('a slot is used again as late as possible, and never for the same volume with another writability', () => {
  const table = new VolumeTable()
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    expect(table.freeSlot(mount('a', '/a'))).toBe(slot)
    table.add(mounted(slot, slot === 2 ? 'b' : 'a', '/a'))
    if (slot > 0) table.remove(slot)
  }
  expect(table.freeSlot(mount('a', '/a'))).toBe(1)
  expect(table.freeSlot(mount('a', '/a', true))).toBe(2)
})

test('a sandbox cannot have more volumes than slots', () => {
  const table = new VolumeTable(
    Array.from({ length: SLOT_COUNT }, (_, slot) => mounted(slot, 'a', `/${slot}`)),
  )
  expect(() => table.freeSlot(mount('a', '/x'))).toThrow("volume 'a' cannot be mounted at '/x'")
})
