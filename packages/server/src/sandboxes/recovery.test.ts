import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { SandboxRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

/** Rows as a crash in the middle of something leaves them. */
const insertLike = (sandboxId: string, rows: Array<Record<string, unknown>>) =>
  t.inStore(async (store) => {
    const row = await store
      .selectFrom('sandboxes')
      .selectAll()
      .where('id', '=', sandboxId)
      .executeTakeFirstOrThrow()
    for (let i = 0; i < rows.length; i += 1000)
      await store
        .insertInto('sandboxes')
        .values(rows.slice(i, i + 1000).map((changes) => ({ ...row, ...changes })))
        .execute()
  })

test('after a crash running sandboxes go on with token, deadline and traffic token', async () => {
  const kept = await t.create({ timeout: 1000, network: { allowPublicTraffic: false } })
  const before = (await t.call('GET', `/sandboxes/${kept.sandboxID}`)).body
  t.now += 60_000
  await t.crash()
  const connected = await t.call('POST', `/sandboxes/${kept.sandboxID}/connect`, { timeout: 0 })
  expect(connected.body).toMatchObject({
    envdAccessToken: kept.envdAccessToken,
    trafficAccessToken: kept.trafficAccessToken,
  })
  expect((await t.call('GET', `/sandboxes/${kept.sandboxID}`)).body).toEqual(before)
  expect(t.server.directory.find(kept.sandboxID)).toMatchObject({
    address: '10.0.0.2',
    trafficAccessToken: kept.trafficAccessToken,
  })
})

test('after a crash half made sandboxes are undone, half killed ones finished with their reason, lost ones said to be lost', async () => {
  const kept = await t.create()
  const lost = await t.create()
  t.node.machines.delete('m1')
  await insertLike(kept.sandboxID, [
    { id: 'ihalf', machine_id: 'm-half', state: 'starting' },
    { id: 'ikilling', machine_id: 'm-killing', state: 'killing', kill_reason: 'timeout' },
  ])
  await t.crash()
  for (const id of [lost.sandboxID, 'ihalf', 'ikilling']) expect(await t.statusOf(id)).toBe(404)
  expect(await t.statusOf(kept.sandboxID)).toBe(200)
  const reasonOf = async (id: string) => (await t.eventsOf(id)).at(-1)?.event_data.kill_reason
  expect([await reasonOf(lost.sandboxID), await reasonOf('ikilling'), await reasonOf('ihalf')]).toEqual([
    'lost',
    'timeout',
    undefined,
  ])
  const rows = await t.inStore((store) =>
    store.selectFrom('sandboxes').select(['id', 'state', 'kill_reason']).execute(),
  )
  expect(rows.find(({ id }) => id === 'ihalf')).toMatchObject({
    state: 'killed',
    kill_reason: 'create_failed',
  })
})

test('a deadline that passed while no server ran ends the sandbox at once', async () => {
  const { sandboxID } = await t.create({ timeout: 30 })
  t.now += 60_000
  await t.crash()
  await expect.poll(() => t.statusOf(sandboxID)).toBe(404)
  await expect.poll(async () => (await t.eventsOf(sandboxID)).at(-1)?.event_data.kill_reason).toBe('timeout')
})

test('templates keep their ids and keys work after a restart', async () => {
  const { templateID } = await t.create()
  const { key } = t
  await t.crash()
  expect(t.key).toBe(key)
  expect((await t.create()).templateID).toBe(templateID)
})

test('20 000 killed rows are neither loaded by a start nor listed, and go in bounded batches by age', async () => {
  const { sandboxID } = await t.create()
  const old = Array.from({ length: 20_000 }, (_, i) => ({
    id: `iold${i}`,
    machine_id: 'gone',
    state: 'killed',
    ended_at: i,
  }))
  await insertLike(sandboxID, old)
  await t.crash()
  expect((await t.call('GET', '/v2/sandboxes')).body).toHaveLength(1)
  await t.inStore(async (store) => {
    const repository = new SandboxRepository(store)
    expect(await repository.alive()).toHaveLength(1)
    let pruned = 0
    for (let batch = 1; batch > 0; pruned += batch) {
      batch = await repository.prune(15_000)
      expect(batch).toBeLessThanOrEqual(500)
    }
    expect(pruned).toBe(15_000)
  })
})
