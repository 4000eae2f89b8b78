import { expect, test } from 'vitest'
import { judgeVolumes, type VolumeFacts } from './volume-checks.ts'

const disk = { isOnNetwork: false, canMapIds: true, hasReflinks: true }
const good: VolumeFacts = { dir: '/data', disk, missingPrograms: [], hasLoopDevices: true, canGrow: true }
const nfs = { isOnNetwork: true, canMapIds: false, hasReflinks: false }
const auto = { volumeKind: 'auto', sandboxUsers: 'own' } as const

test.each([
  ['nothing is wrong', auto, {}, 'ok', /^images in \/data$/],
  [
    'nothing can be written',
    auto,
    { disk: undefined, fault: 'EROFS' },
    'warning',
    /cannot have volumes: EROFS/,
  ],
  ['a program is missing', auto, { missingPrograms: ['fsfreeze'] }, 'warning', /need fsfreeze/],
  [
    'a program of images is missing',
    { ...auto, volumeKind: 'folder' },
    { missingPrograms: ['fsfreeze'] },
    'ok',
    /^folders/,
  ],
  ['there are no loop devices', auto, { hasLoopDevices: false }, 'warning', /loop/],
  ['owners cannot be mapped', auto, { disk: nfs }, 'warning', /cannot map owners/],
  [
    'they need not be',
    { ...auto, sandboxUsers: 'root' },
    { disk: nfs },
    'ok',
    /folders in \/data; they have no limit of size/,
  ],
  ['images map their own', { ...auto, volumeKind: 'image' }, { disk: nfs }, 'ok', /no reflinks/],
  ['a capability is missing', auto, { canGrow: false }, 'ok', /CAP_SYS_RESOURCE/],
] as const)('when %s, it says so', (_what, settings, facts, status, detail) => {
  expect(judgeVolumes(settings, { ...good, ...facts } as VolumeFacts)).toMatchObject({
    status,
    detail: expect.stringMatching(detail),
  })
})
