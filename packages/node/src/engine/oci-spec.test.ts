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

test('memory and swap together have the limit of memory alone', () => {
  expect(memoryOf({})).toEqual({ limit: 2 ** 30, swap: 2 ** 30 })
})

test('no limit for swap is set when the kernel cannot have one', () => {
  expect(memoryOf({ canLimitSwap: false })).toEqual({ limit: 2 ** 30 })
})

test('the limit never exceeds the memory of the machine', () => {
  expect(memoryOf({ memoryMB: 1_048_576 }).limit).toBeLessThanOrEqual(totalmem())
})
