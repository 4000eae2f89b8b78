import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test('lists are filtered, ordered and paged', async () => {
  const ids: string[] = []
  for (let i = 0; i < 5; i++) {
    ids.push((await t.create({ metadata: { n: String(i), group: i < 3 ? 'a b' : 'c' } })).sandboxID)
    t.now += 1000
  }
  const first = await t.call('GET', '/v2/sandboxes?limit=2')
  expect(first.headers['x-total-running']).toBe('5')
  const second = await t.call('GET', `/v2/sandboxes?limit=3&nextToken=${first.headers['x-next-token']}`)
  expect(second.headers['x-next-token']).toBeUndefined()
  const listed = [...first.body, ...second.body].map(({ sandboxID }: { sandboxID: string }) => sandboxID)
  expect(listed).toEqual(ids.toReversed())
  const filter = encodeURIComponent(`group=${encodeURIComponent('a b')}`)
  expect((await t.call('GET', `/v2/sandboxes?metadata=${filter}`)).body).toHaveLength(3)
  expect((await t.call('GET', '/v2/sandboxes?state=paused')).body).toEqual([])
  expect((await t.call('GET', '/v2/sandboxes?state=dead')).status).toBe(400)
  expect((await t.call('GET', '/v2/sandboxes?template=nope')).body).toEqual([])
  expect((await t.call('GET', '/v2/sandboxes?template=base:x')).status).toBe(400)
  expect((await t.call('GET', '/v2/sandboxes?nextToken=%%')).status).toBe(400)
})

test("teams never see each other's sandboxes", async () => {
  const { sandboxID } = await t.create()
  await t.inStore((store) =>
    store
      .insertInto('teams')
      .values({ id: 't2', name: 'two', slug: 'two', plan: 'unlimited', created_at: 0 })
      .execute(),
  )
  const { key: otherKey } = await t.server.keys.create('t2', 'k')
  expect((await t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': otherKey })).body).toEqual([])
  for (const [method, url, body] of [
    ['GET', `/sandboxes/${sandboxID}`],
    ['DELETE', `/sandboxes/${sandboxID}`],
    ['POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 1 }],
    ['GET', `/sandboxes/${sandboxID}/metrics`],
    ['GET', `/sandboxes/${sandboxID}/logs`],
    ['GET', `/v2/sandboxes/${sandboxID}/logs`],
    ['POST', `/v2/sandboxes/${sandboxID}/connect`, {}],
    ['POST', `/sandboxes/${sandboxID}/refreshes`, {}],
    ['POST', `/sandboxes/${sandboxID}/pause`, {}],
  ] as const)
    expect((await t.call(method, url, body, { 'x-api-key': otherKey })).status).toBe(404)
  expect(
    (await t.call('GET', `/events/sandboxes/${sandboxID}`, undefined, { 'x-api-key': otherKey })).body,
  ).toEqual([])
})

test('startedAfter includes its instant; lists are ordered and filtered by template; the v1 list has no paused sandboxes', async () => {
  const first = await t.create()
  t.now += 5_000
  const second = await t.create()
  const after = encodeURIComponent(new Date(t.now).toISOString())
  const idsOf = async (query: string) =>
    (await t.call('GET', query)).body.map(({ sandboxID }: { sandboxID: string }) => sandboxID)
  expect(await idsOf(`/v2/sandboxes?startedAfter=${after}`)).toEqual([second.sandboxID])
  expect(await idsOf('/v2/sandboxes?order=asc&limit=0')).toEqual([first.sandboxID])
  expect(await idsOf(`/v2/sandboxes?template=${first.templateID}`)).toHaveLength(2)
  expect(await idsOf('/sandboxes')).toHaveLength(2)
  expect((await t.call('GET', '/v2/sandboxes?startedAfter=yesterday')).body.message).toContain('startedAfter')
  expect((await t.call('GET', '/v2/sandboxes?state=paused')).headers['x-total-running']).toBeUndefined()
})
