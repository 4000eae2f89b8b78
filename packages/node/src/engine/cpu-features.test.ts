import { expect, test } from 'vitest'
import { cpuFeatures } from './cpu-features.ts'

test('the features of the first processor are read on x86 and on ARM', () => {
  expect(cpuFeatures('processor\t: 0\nflags\t\t: sse2 avx aes\n\nprocessor\t: 1\nflags\t\t: fpu\n')).toEqual([
    'aes',
    'avx',
    'sse2',
  ])
  expect(cpuFeatures('processor: 0\nFeatures\t: fp asimd\n')).toEqual(['asimd', 'fp'])
  expect(cpuFeatures('processor: 0\n')).toEqual([])
})
