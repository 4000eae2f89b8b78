import { totalmem } from 'node:os'
import { expect, test } from 'vitest'
import { ociSpec, type SpecOptions } from './oci-spec.ts'

const options: SpecOptions = {
  cpuCount: 2,
  memoryMB: 1024,
  diskSizeMB: 1024,
  cpuShares: 64,
  canLimitSwap: true,
  imagePath: '/i',
  guestDir: '/g',
  overlayDir: '/o',
  emptyDir: '/e',
  volumesDir: '/v',
  netnsPath: '/n',
  cgroupsPath: '/c',
}
const memoryOf = (more: Partial<SpecOptions>) => ociSpec({ ...options, ...more }).linux.resources.memory

test('the limit of memory plus swap equals that of memory, so that swap is off', () => {
  expect(memoryOf({})).toEqual({ limit: 2 ** 30, swap: 2 ** 30 })
})

test('no limit for swap is set when the kernel does not support one', () => {
  expect(memoryOf({ canLimitSwap: false })).toEqual({ limit: 2 ** 30 })
})

test('the limit never exceeds the memory of the machine', () => {
  expect(memoryOf({ memoryMB: 1_048_576 }).limit).toBeLessThanOrEqual(totalmem())
})

test('root is the user of the kernel, and other users share ids that no kernel has', () => {
  const { linux } = ociSpec({ ...options, hostId: 500, guestIds: { first: 1000, count: 100 } })
  const mappings = [
    { containerID: 0, hostID: 500, size: 1 },
    { containerID: 1, hostID: 1001, size: 99 },
  ]
  expect(linux).toMatchObject({ uidMappings: mappings, gidMappings: mappings })
})

test('mounts of volumes reach the machine, and none of the machine reach the host', () => {
  const mount = ociSpec(options).mounts.find(({ destination }) => destination === '/run/sandlot/volumes')
  expect(mount).toMatchObject({ source: '/v', options: ['rw', 'rbind', 'rslave'] })
})
