import { beforeEach, expect, test } from 'vitest'
import { openStore } from '../store/open-store.ts'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { EventRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

async function lived(): Promise<{ sandboxID: string; times: number[] }> {
  const times = [t.now]
  const { sandboxID } = await t.create({ metadata: { k: 'v' } })
  for (const timeout of [100, 200]) {
    times.push((t.now += 1000))
    await t.call('POST', `/sandboxes/${sandboxID}/timeout`, { timeout })
  }
  times.push((t.now += 1000))
  await t.call('DELETE', `/sandboxes/${sandboxID}`)
  return { sandboxID, times }
}

test('events have the envelope of the contract and one execution id for a run', async () => {
  const { sandboxID, times } = await lived()
  const events = (await t.call('GET', `/events/sandboxes/${sandboxID}?orderAsc=true`)).body
  expect(events).toHaveLength(4)
  expect(new Set(events.map((event: Record<string, unknown>) => event.sandbox_execution_id)).size).toBe(1)
  expect(events[0]).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    version: 'v2',
    type: 'sandbox.lifecycle.created',
    timestamp: new Date(times[0]!).toISOString(),
    event_category: 'lifecycle',
    event_label: 'create',
    event_data: { sandbox_metadata: { k: 'v' } },
    sandbox_id: sandboxID,
    sandbox_execution_id: expect.any(String),
    sandbox_template_id: expect.stringMatching(/^[a-z0-9]{20}$/),
    sandbox_build_id: 'b1',
    sandbox_team_id: expect.any(String),
  })
  expect(events[1].event_data.set_timeout).toBe(new Date(times[1]! + 100_000).toISOString())
  expect(events[3].event_data.execution).toMatchObject({
    execution_time: 3000,
    vcpu_count: 2,
    memory_mb: 1024,
  })
})

test('events are paged, ordered and filtered by type', async () => {
  const { sandboxID } = await lived()
  await t.create()
  const labels = async (query: string) =>
    (await t.call('GET', `/events/sandboxes${query}`)).body.map(
      (event: { event_label: string }) => event.event_label,
    )
  expect(await labels('')).toEqual(['create', 'kill', 'update', 'update', 'create'])
  expect(await labels('?limit=2&offset=1')).toEqual(['kill', 'update'])
  expect(await labels('?orderAsc=true&limit=1')).toEqual(['create'])
  expect(await labels('?types=sandbox.lifecycle.killed,sandbox.lifecycle.updated')).toEqual([
    'kill',
    'update',
    'update',
  ])
  expect(await labels(`/${sandboxID}`)).toHaveLength(4)
})

test('the log of an ended sandbox can be read, and says why it ended', async () => {
  const { sandboxID, times } = await lived()
  const { logs, logEntries } = (await t.call('GET', `/sandboxes/${sandboxID}/logs`)).body
  expect(logEntries.map((entry: { message: string }) => entry.message)).toEqual([
    'sandbox created',
    `sandbox updated: lives until ${new Date(times[1]! + 100_000).toISOString()}`,
    `sandbox updated: lives until ${new Date(times[2]! + 200_000).toISOString()}`,
    'sandbox killed: request',
  ])
  expect(JSON.parse(logs[0].line)).toMatchObject({ level: 'info', logger: 'sandlot' })
  expect((await t.call('GET', `/sandboxes/${sandboxID}/logs?start=${t.now + 1}`)).body.logs).toEqual([])
  expect((await t.call('GET', '/sandboxes/inever/logs')).status).toBe(404)
})

test('the v2 log pages in both directions from a cursor, and filters before it counts', async () => {
  const { sandboxID, times } = await lived()
  const read = async (query: string) =>
    (await t.call('GET', `/v2/sandboxes/${sandboxID}/logs?${query}`)).body.logs.map(
      (entry: { message: string }) => entry.message.split(':')[0],
    )
  expect(await read(`cursor=${times[2]}&direction=forward`)).toEqual(['sandbox updated', 'sandbox killed'])
  expect(await read(`cursor=${times[1]}&direction=backward`)).toEqual(['sandbox updated', 'sandbox created'])
  expect(await read('search=killed&limit=1')).toEqual(['sandbox killed'])
  expect(await read('level=warn')).toEqual([])
})

test('a team keeps only its newest events', async () => {
  const { sandboxID } = await lived()
  const store = await openStore(t.storeUrl)
  try {
    const repository = new EventRepository(store)
    expect(await repository.pruneTeams(4)).toBe(0)
    expect(await repository.pruneTeams(2)).toBe(2)
  } finally {
    await store.destroy()
  }
  const left = (await t.call('GET', `/events/sandboxes/${sandboxID}?orderAsc=true`)).body
  expect(left.map(({ type }: { type: string }) => type)).toEqual([
    'sandbox.lifecycle.updated',
    'sandbox.lifecycle.killed',
  ])
})
