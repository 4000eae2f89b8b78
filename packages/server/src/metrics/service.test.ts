import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { MetricsRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test('metrics are read as a range of one sandbox or the newest of many, and never of unknown sandboxes', async () => {
  const { sandboxID } = await t.create()
  for (let i = 0; i < 3; i++)
    t.node.events.emit({
      type: 'samples',
      samples: [t.node.sample(t.node.firstMachine(), t.now + i * 5000, i)],
    })
  t.now += 10_000
  const all = (await t.call('GET', `/sandboxes/${sandboxID}/metrics`)).body
  expect(all.map((metric: { cpuUsedPct: number }) => metric.cpuUsedPct)).toEqual([0, 1, 2])
  const start = all[1].timestampUnix
  expect(
    (await t.call('GET', `/sandboxes/${sandboxID}/metrics?start=${start}&end=${start}`)).body,
  ).toHaveLength(1)
  expect(
    (await t.call('GET', `/sandboxes/metrics?sandbox_ids=${sandboxID},nope`)).body.sandboxes,
  ).toMatchObject({ [sandboxID]: { cpuUsedPct: 2 } })
})

test('samples from before a restart are read from the database', async () => {
  const { sandboxID } = await t.create()
  const sampledAtMs = t.now
  t.node.events.emit({ type: 'samples', samples: [t.node.sample(t.node.firstMachine(), sampledAtMs, 7)] })
  await t.crash()
  t.node.events.emit({
    type: 'samples',
    samples: [t.node.sample(t.node.firstMachine(), sampledAtMs + 5000, 8)],
  })
  t.now += 10_000
  const all = (await t.call('GET', `/sandboxes/${sandboxID}/metrics`)).body
  expect(all.map((metric: { cpuUsedPct: number }) => metric.cpuUsedPct)).toEqual([7, 8])
  expect(all[0]).toMatchObject({ cpuCount: 2, memTotal: 2 ** 30, diskTotal: 10 * 2 ** 30 })
})

test('samples of many machines are all stored', async () => {
  for (let i = 0; i < 150; i++) await t.create()
  t.node.events.emit({
    type: 'samples',
    samples: [
      ...[...t.node.machines.keys()].map((machineId) => t.node.sample(machineId, t.now)),
      t.node.sample('unknown', t.now),
    ],
  })
  const count = () =>
    t.inStore(
      async (store) => (await store.selectFrom('sandbox_metrics').select('sandbox_id').execute()).length,
    )
  await expect.poll(count).toBe(150)
})

test('metrics are deleted by age in bounded batches, those of killed sandboxes sooner', async () => {
  await t.inStore(async (store) => {
    const metrics = new MetricsRepository(store)
    const samples = (sandboxId: string) =>
      Array.from({ length: 30 }, (_, i) => ({
        sandbox_id: sandboxId,
        timestamp: i * 1000,
        cpu_used_pct: 0,
        mem_used: 0,
        mem_cache: 0,
        disk_used: 0,
      }))
    const { sandboxID } = await t.create()
    const row = await store
      .selectFrom('sandboxes')
      .selectAll()
      .where('id', '=', sandboxID)
      .executeTakeFirstOrThrow()
    for (let i = 0; i < 50; i++) {
      await store
        .insertInto('sandboxes')
        .values({ ...row, id: `ikilled${i}`, state: 'killed', ended_at: 1000 * Math.floor(i / 10) })
        .execute()
      await store
        .insertInto('sandbox_metrics')
        .values(samples(`ikilled${i}`))
        .execute()
    }
    await store.insertInto('sandbox_metrics').values(samples(sandboxID)).execute()
    const left = async () =>
      new Set(
        (await store.selectFrom('sandbox_metrics').select('sandbox_id').execute()).map((r) => r.sandbox_id),
      )
    let calls = 0
    while ((await metrics.pruneKilled(4000)) > 0) expect(++calls).toBeLessThan(10)
    expect((await left()).size).toBe(11)
    expect(await metrics.prune(15_000)).toBe(11 * 15)
    expect((await left()).has(sandboxID)).toBe(true)
  })
})
