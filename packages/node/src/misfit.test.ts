import { expect, test } from 'vitest'
import { cpuFeatures } from './cpu-features.ts'
import { findMisfit } from './misfit.ts'

const fitting = { engineVersion: 'release-1', cpuFeatures: cpuFeatures(), guestDir: '/' }

test('a checkpoint of this machine fits it', () => {
  expect(findMisfit(fitting, 'release-1')).toBeUndefined()
})

test('another runsc, a CPU with less, and an envd that is gone are said', () => {
  expect(findMisfit(fitting, 'release-2')).toBe('it was saved by runsc release-1, this machine has release-2')
  expect(findMisfit({ ...fitting, cpuFeatures: ['aes', 'quantum'] }, 'release-1')).toMatch(/lacks .*quantum/)
  expect(findMisfit({ ...fitting, guestDir: '/nowhere' }, 'release-1')).toContain('/nowhere')
})
