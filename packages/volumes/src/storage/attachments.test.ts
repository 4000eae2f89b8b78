import { mountsIn, openIdMap } from '@sandlot/linux'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { quietLogger, VolumesOfTest } from '../test-support/volumes-of-test.ts'
import { Attachments } from './attachments.ts'
import { ImageHolds } from './image-holds.ts'
import { VolumeLayout } from './layout.ts'
import { TemporaryNames } from './temporary-names.ts'

const MiB = 2 ** 20

let own: VolumesOfTest
let attachments: Attachments
let idMap: Awaited<ReturnType<typeof openIdMap>>
beforeEach(async () => {
  idMap = await openIdMap([{ inside: 100_000, outside: 0, count: 65_536 }])
  own = await VolumesOfTest.make()
  await (await own.open({ kind: 'folder' })).create('v1', { sizeBytes: 64 * MiB })
  const layout = new VolumeLayout(own.dir, new TemporaryNames('server'))
  const holds = new ImageHolds({ layout, server: 'server', logger: quietLogger })
  attachments = new Attachments({
    layout,
    holds,
    mountDir: own.mountDir,
    idMap: async () => idMap,
    logger: quietLogger,
  })
})
afterEach(async () => {
  await attachments.close()
  await idMap.close()
  await own.end()
})

const mountCount = () => mountsIn(own.mountDir).length - 1

test('nothing mounts a volume while a program works on it unmounted', async () => {
  await attachments.attach('v1')
  attachments.release('v1')
  const { promise: working, resolve: endWork } = Promise.withResolvers<void>()
  const seen: number[] = []
  const work = attachments.whileDetached('v1', async () => {
    await working
    seen.push(mountCount())
  })
  const attaching = attachments.attach('v1')
  endWork()
  await work
  await attaching
  expect(seen).toEqual([0])
  expect(mountCount()).toBe(3)
  await expect(attachments.whileDetached('v1', async () => {})).rejects.toMatchObject({
    errorName: 'conflict',
  })
  attachments.release('v1')
})

test('work that fails while a volume is unmounted does not keep others from it', async () => {
  const failing = attachments.whileDetached('v1', async () => {
    throw new Error('failed')
  })
  await expect(failing).rejects.toThrow('failed')
  await attachments.attach('v1')
  attachments.release('v1')
})

test('nothing is mounted after the end', async () => {
  await attachments.close()
  await expect(attachments.attach('v1')).rejects.toMatchObject({ errorName: 'volume_unavailable' })
  expect(mountCount()).toBe(0)
})
