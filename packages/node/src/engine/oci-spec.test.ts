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
