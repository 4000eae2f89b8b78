import { mkdirSync, mkdtempSync, rmdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { detachMount, mountTmpfs } from '@sandlot/linux'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SlotMounts } from './slot-mounts.ts'
import { VolumeBindings } from './volume-bindings.ts'
import { VolumeIds } from './volume-ids.ts'

const MACHINE = { machineId: 'm1', slot: { index: 0 } }
const VOLUME = { volumeId: 'v1', name: 'data', path: '/mnt/data' }

let parent: string
let mounts: SlotMounts
let bindings: VolumeBindings
let users: number
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'sandlot-bindings-test-'))
  mkdirSync(join(parent, 'volume'))
  users = 0
  const directories = {
    attach: async () => {
      users += 1
      return { directory: join(parent, 'volume') }
    },
    release: async () => void (users -= 1),
  }
  mounts = new SlotMounts(join(parent, 'run'))
  const ids = new VolumeIds({ canMap: false })
  bindings = new VolumeBindings({ mounts, ids, directories, onError: () => {} })
  bindings.prepare()
})
afterEach(() => {
  mounts.removeAll()
  rmdirSync(join(parent, 'volume'))
  rmdirSync(parent)
})

test('a volume that is bound while its machine ends is released', async () => {
  // machines end one after the other, so that the last one waits
  const machineIds = [...Array(20).keys()].map((count) => `m${count + 2}`)
  for (const machineId of [...machineIds, MACHINE.machineId]) bindings.open(machineId)
  const closing = [...machineIds, MACHINE.machineId].map((machineId) => bindings.close(machineId))
  await Promise.allSettled([bindings.bind(MACHINE, 3, VOLUME), ...closing])
  expect(users).toBe(0)
  expect(mounts.list()).toEqual([])
})

test('a machine that ends twice releases its volumes once', async () => {
  bindings.open(MACHINE.machineId)
  await bindings.bind(MACHINE, 3, VOLUME)
  await bindings.bind(MACHINE, 4, VOLUME)
  expect(users).toBe(2)
  await Promise.all([bindings.close(MACHINE.machineId), bindings.close(MACHINE.machineId)])
  expect(users).toBe(0)
})

test('what is written to a volume counts as used by its machine', async () => {
  const volume = join(parent, 'volume')
  mountTmpfs(volume, 'size=1m')
  try {
    bindings.open(MACHINE.machineId)
    await bindings.bind(MACHINE, 3, VOLUME)
    writeFileSync(join(mounts.dirOf(MACHINE.machineId), '3', 'data'), Buffer.alloc(64 * 1024))
    expect(await bindings.usedBytes(MACHINE.machineId, [3])).toBe(64 * 1024)
    await bindings.close(MACHINE.machineId)
  } finally {
    detachMount(volume)
  }
})
