import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ConnectionRecord } from '@sandlot/protocol/node'
import { pino } from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SandboxOperations } from '../sandboxes/operations.ts'
import { SandboxRegistry } from '../sandboxes/registry.ts'
import { openStore, type Store } from '../store/open-store.ts'
import { newTestDatabase, type TestDatabase } from '../test-support/database.ts'
import { EgressRepository } from './repository.ts'
import { EgressService } from './service.ts'

const TEAM = 'team'

let directory: string
let database: TestDatabase
let store: Store
let service: EgressService
let now = Date.now()
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sandlot-egress-test-'))
  database = await newTestDatabase(directory)
  store = await openStore(database.url)
  const parts = { registry: new SandboxRegistry(), logger: pino({ level: 'silent' }), now: () => now }
  service = new EgressService(parts as unknown as SandboxOperations, new EgressRepository(store))
})
afterEach(async () => {
  await service.close()
  await store.destroy()
  await database.remove()
  rmSync(directory, { recursive: true, force: true })
})

const record = (sandboxId: string, startedAtMs: number): ConnectionRecord => ({
  ...{ recordId: randomUUID(), sandboxId, teamId: TEAM, startedAtMs, durationMs: 0, protocol: 'tcp' },
  ...{ bytesOut: 0, bytesIn: 0, verdict: 'allowed', rule: 'default' },
})
const receive = (sandboxId: string, count: number) =>
  service.receive({
    type: 'connections',
    records: Array.from({ length: count }, (_, index) => record(sandboxId, index)),
    dropped: 0,
  })
const countOf = async (sandboxId: string) =>
  Number(
    (
      await store
        .selectFrom('egress_records')
        .select(({ fn }) => fn.countAll().as('all'))
        .where('sandbox_id', '=', sandboxId)
        .executeTakeFirstOrThrow()
    ).all,
  )

test('a sandbox keeps its newest 10 000 records, and others keep theirs', { timeout: 120_000 }, async () => {
  receive('ibusy', 8_000)
  await expect.poll(() => countOf('ibusy'), { timeout: 60_000 }).toBe(8_000)
  now += 60_000
  receive('ibusy', 3_000)
  receive('iquiet', 3)
  await expect.poll(() => countOf('iquiet'), { timeout: 60_000 }).toBe(3)
  expect(await countOf('ibusy')).toBe(11_000)
  let deleted = 0
  for (let batch = await service.trim(); batch > 0; batch = await service.trim()) deleted += batch
  expect(deleted).toBe(1_000)
  expect([await countOf('ibusy'), await countOf('iquiet')]).toEqual([10_000, 3])
  const { started_at: oldest } = await store
    .selectFrom('egress_records')
    .select('started_at')
    .where('sandbox_id', '=', 'ibusy')
    .orderBy('sequence')
    .limit(1)
    .executeTakeFirstOrThrow()
  expect(oldest).toBe(1_000)
})

test('closing stores what is queued', async () => {
  receive('i1', 250)
  await service.close()
  expect(await countOf('i1')).toBe(250)
})
