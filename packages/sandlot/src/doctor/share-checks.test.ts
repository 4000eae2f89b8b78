import { expect, test } from 'vitest'
import { diskShare, swapLimit } from './share-checks.ts'

const withSwap = 'MemTotal:       16384 kB\nSwapTotal:      2097148 kB\n'
const without = 'MemTotal:       16384 kB\nSwapTotal:             0 kB\n'

test('swap that no limit holds for is worth a warning', () => {
  expect(swapLimit(withSwap, false)).toMatchObject({
    status: 'warning',
    detail: expect.stringContaining('2047 MB'),
  })
  expect(swapLimit(withSwap, true).status).toBe('ok')
  expect(swapLimit(without, false).status).toBe('ok')
})

test('how the disk is shared is said, and never a failure', () => {
  expect([diskShare(true).status, diskShare(false).status]).toEqual(['ok', 'ok'])
  expect(diskShare(false).detail).toContain('not by weights')
})
