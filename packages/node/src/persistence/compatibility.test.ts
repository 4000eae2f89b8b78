import { expect, test } from 'vitest'
import { cpuFeatures } from '../engine/cpu-features.ts'
import { SPEC_VERSION } from '../engine/oci-spec.ts'
import { findIncompatibility, findReasonToRenew } from './compatibility.ts'

const fitting = { engineVersion: 'release-1', cpuFeatures: cpuFeatures(), guestDir: '/' }

test('a checkpoint of this machine is compatible', () => {
  expect(findIncompatibility(fitting, 'release-1')).toBeUndefined()
})

test('another runsc, a CPU with fewer features and a missing envd are reported', () => {
  expect(findIncompatibility(fitting, 'release-2')).toBe(
    'it was saved by runsc release-1, this machine has release-2',
  )
  expect(findIncompatibility({ ...fitting, cpuFeatures: ['aes', 'quantum'] }, 'release-1')).toMatch(
    /lacks .*quantum/,
  )
  expect(findIncompatibility({ ...fitting, guestDir: '/nowhere' }, 'release-1')).toContain('/nowhere')
})

test('a template from before machines had slots for volumes is renewed, although its memory is compatible', () => {
  expect(findReasonToRenew({ ...fitting, specVersion: SPEC_VERSION }, 'release-1')).toBeUndefined()
  expect(findReasonToRenew(fitting, 'release-1')).toContain(`version 1, this server makes ${SPEC_VERSION}`)
  expect(findIncompatibility(fitting, 'release-1')).toBeUndefined()
})
