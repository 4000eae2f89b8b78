import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { tryLock, withLock } from './kernel-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'sandlot-kernel-lock-'))
beforeEach(() => void mkdirSync(folder, { recursive: true }))
afterEach(() => {
  vi.restoreAllMocks()
  rmSync(folder, { recursive: true, force: true })
})

test('a lock is waited for as long as was asked, although the clock of the machine is set forward', async () => {
  const path = join(folder, 'lock')
  const held = tryLock(path)
  const setForward = Date.now() + 3_600_000
  const release = () => {
    vi.spyOn(Date, 'now').mockReturnValue(setForward)
    held?.release()
  }
  expect(await withLock(path, 10_000, release, async () => 'done')).toBe('done')
})

test('a lock makes no folder, as that may have been moved a moment ago', () => {
  expect(() => tryLock(join(folder, 'moved', 'lock'))).toThrow('unable to open')
  expect(existsSync(join(folder, 'moved'))).toBe(false)
})
