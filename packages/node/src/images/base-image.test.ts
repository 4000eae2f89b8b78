import { existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mountTmpfs } from '@sandlot/linux'
import { expect, test } from 'vitest'
import { removeUnfinished } from './base-image.ts'

test('what a killed build left is removed, with file systems that it had mounted', async () => {
  const work = mkdtempSync(join(tmpdir(), 'sandlot-base-image-test-'))
  const dev = join(work, 'root', 'dev')
  mkdirSync(dev, { recursive: true })
  mountTmpfs(dev, 'size=16k')
  mkdirSync(join(dev, 'shm'))
  mountTmpfs(join(dev, 'shm'), 'size=16k')
  await removeUnfinished(work)
  expect(existsSync(work)).toBe(false)
})
