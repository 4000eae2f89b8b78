import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { unlistedIn } from '@sandlot/node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { describeUnlisted } from '../unlisted-report.ts'
import { unlistedData } from './unlisted-check.ts'

let home: string
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'sandlot-doctor-'))))
afterEach(() => rmSync(home, { recursive: true }))

const examine = () => unlistedData({ home, unlistedGraceDays: 7 })
function mark(kind: string, id: string, sinceMs: number, sizeBytes?: number, content?: string): void {
  const dir = join(home, 'unlisted', kind)
  mkdirSync(dir, { recursive: true })
  writeFileSync(
    join(dir, `${id}.json`),
    content ?? JSON.stringify({ id, sinceMs, instanceId: 'db-1', sizeBytes }),
  )
}

test('a home whose database lists everything is fine', async () => {
  expect(await examine()).toMatchObject({ status: 'ok' })
})

test('the detail names kind, number, size, age, database and end of the grace period', async () => {
  mark('checkpoints', 'c1', Date.UTC(2026, 0, 1, 12), 3 * 2 ** 20)
  mark('checkpoints', 'c2', Date.UTC(2026, 0, 2), 2 ** 20)
  mark('checkpoints', 'c3', 0, 0, '{"id":"c3"')
  mark('machines', 'm1', Date.UTC(2026, 0, 1, 12))
  expect(await examine()).toMatchObject({
    status: 'warning',
    detail:
      '2 checkpoints of 4.0 MB, not listed by database db-1 since 2026-01-01T12:00Z, deleted by it from 2026-01-08T12:00Z on; ' +
      '1 frozen sandbox, not listed by database db-1 since 2026-01-01T12:00Z, deleted by it from 2026-01-08T12:00Z on',
  })
})

test('the summary for the start and `sandlot status` is one phrase', async () => {
  mark('machines', 'm1', 0)
  expect(describeUnlisted(await unlistedIn(home))).toBe(
    'the database does not list 1 frozen sandbox (see `sandlot doctor`)',
  )
  mark('checkpoints', 'c1', 0)
  mark('checkpoints', 'c2', 0)
  expect(describeUnlisted(await unlistedIn(home))).toBe(
    'the database does not list 1 frozen sandbox and 2 checkpoints (see `sandlot doctor`)',
  )
})
