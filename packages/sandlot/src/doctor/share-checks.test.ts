import { expect, test } from 'vitest'
import { connectionTable, diskShare, swapLimit } from './share-checks.ts'

const withSwap = 'MemTotal:       16384 kB\nSwapTotal:      2097148 kB\n'
const without = 'MemTotal:       16384 kB\nSwapTotal:             0 kB\n'

test('swap without a limit is a warning', () => {
  expect(swapLimit(withSwap, false)).toMatchObject({
    status: 'warning',
    detail: expect.stringContaining('2047 MB'),
  })
  expect(swapLimit(withSwap, true).status).toBe('ok')
  expect(swapLimit(without, false).status).toBe('ok')
})

test('how the disk is shared is reported, and never a failure', () => {
  expect([diskShare(true).status, diskShare(false).status]).toEqual(['ok', 'ok'])
  expect(diskShare(false).detail).toContain('not by weights')
})

test('sandboxes that together can fill the table of connections are a warning', () => {
  const files = (most?: string) => ({ read: () => most }) as unknown as Parameters<typeof connectionTable>[1]
  const settings = { sandboxConnections: 4096, slots: 256 }
  expect(connectionTable(settings, files('262144'))).toMatchObject({
    status: 'warning',
    detail: expect.stringContaining('262144'),
    mend: expect.stringContaining('nf_conntrack_max=2097152'),
  })
  expect(connectionTable({ ...settings, slots: 32 }, files('262144')).status).toBe('ok')
  expect(connectionTable(settings, files()).status).toBe('ok')
})
