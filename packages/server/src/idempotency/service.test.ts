import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SandlotError } from '@sandlot/protocol'
import { sql } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { NodeDouble } from '../test-support/node-double.ts'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { IdempotencyRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const create = (key: string | undefined, body: object = {}, url = '/v2/sandboxes') =>
  t.call(
    'POST',
    url,
    { templateID: 'base', ...body },
    {
      'x-api-key': t.key,
      ...(key !== undefined && { 'idempotency-key': key }),
    },
  )
const machines = () => t.node.machines.size
const rows = () => t.inStore((store) => store.selectFrom('idempotency_keys').selectAll().execute())

describe('an Idempotency-Key', () => {
  test('makes repeated requests create one sandbox and get the same answer, also after a restart', async () => {
    const first = await create('order-17')
    const again = await create('order-17')
    expect([first.status, again.status, again.body]).toEqual([201, 201, first.body])
    expect(again.headers['content-type']).toBe(first.headers['content-type'])
    await t.crash()
    expect((await create('order-17')).body).toEqual(first.body)
    expect(machines()).toBe(1)
    expect((await create(undefined)).body.sandboxID).not.toBe(first.body.sandboxID)
  })

  test.each(['', 'UPPER', 'under_score', 'a b', 'a, b', 'ä', 'x'.repeat(256)])(
    '%j is a 400, before anything is done',
    async (key) => {
      const { status, body } = await create(key)
      expect([status, body.error_code]).toEqual([400, 'invalid_request'])
      expect(body.message).toContain('one value of 1 to 255 lower-case ASCII letters, digits or hyphens')
      expect([machines(), await rows()]).toEqual([0, []])
    },
  )

  test('belongs to one request: with another body or on another route it is a 409', async () => {
    await create('a1')
    for (const other of [await create('a1', { timeout: 10 }), await create('a1', {}, '/sandboxes')])
      expect([other.status, other.body.error_code]).toEqual([409, 'idempotency_request_mismatch'])
    expect(machines()).toBe(1)
  })

  test('whose first request is still running is a 409 for every caller', async () => {
    const gate = Promise.withResolvers<void>()
    t.node.acquiring = gate.promise
    const first = create('slow')
    await expect.poll(() => t.node.acquireCalls).toBe(1)
    const early = await create('slow')
    expect([early.status, early.body.error_code]).toEqual([409, 'idempotency_in_progress'])
    expect((await create('slow', { timeout: 1 })).body.error_code).toBe('idempotency_request_mismatch')
    gate.resolve()
    const { body } = await first
    expect((await create('slow')).body).toEqual(body)
    expect(machines()).toBe(1)
  })

  test('whose first request was interrupted by a crash is a 422: its outcome is unknown', async () => {
    t.node.acquiring = new Promise(() => {})
    void create('lost').catch(() => {})
    await expect.poll(() => t.node.acquireCalls).toBe(1)
    await t.crash()
    const again = await create('lost')
    expect([again.status, again.body.error_code, again.headers['should-retry']]).toEqual([
      422,
      'idempotency_outcome_unknown',
      'false',
    ])
    expect(t.node.acquireCalls).toBe(1)
  })

  test('can be used again when the first request was refused, so that clients may retry a 503', async () => {
    t.node.acquire = () => Promise.reject(new SandlotError('sandbox_capacity_unavailable', 'full'))
    expect((await create('busy')).status).toBe(503)
    expect(await rows()).toEqual([])
    t.node.acquire = NodeDouble.prototype.acquire
    expect((await create('busy')).status).toBe(201)
  })

  test('keeps an error that may have had effects', async () => {
    t.node.acquire = () => Promise.reject(new Error('a bug'))
    const first = await create('bug')
    const again = await create('bug')
    expect([first.status, again.status, again.body]).toEqual([500, 500, first.body])
    expect(again.headers['should-retry']).toBe('false')
  })

  test('also makes repeated forks and snapshots act once', async () => {
    const { sandboxID } = (await create(undefined)).body
    const post = (what: string) =>
      t.call('POST', `/sandboxes/${sandboxID}/${what}`, {}, { 'x-api-key': t.key, 'idempotency-key': what })
    for (const what of ['fork', 'snapshots']) {
      const first = await post(what)
      expect(first.status).toBe(201)
      expect((await post(what)).body).toEqual(first.body)
    }
    expect(machines()).toBe(2)
    expect((await t.call('GET', '/snapshots')).body).toHaveLength(1)
  })

  test('is per team', async () => {
    const other = await t.server.newCatalogKey()
    await create('shared')
    const { status } = await t.call(
      'POST',
      '/v2/sandboxes',
      { templateID: 'base', timeout: 1 },
      {
        'x-api-key': other,
        'idempotency-key': 'shared',
      },
    )
    expect(status).toBe(201)
  })

  test('is forgotten after a day', async () => {
    const first = await create('daily')
    t.now += 24 * 3600_000
    expect((await create('daily')).body.sandboxID).not.toBe(first.body.sandboxID)
  })
})

test('a sandbox whose client went away before the answer is kept for the retry', async () => {
  const http = createServer((request, response) => t.server.fastify.routing(request, response)).listen(0)
  const gate = Promise.withResolvers<void>()
  t.node.acquiring = gate.promise
  const abort = new AbortController()
  const closed = once(http, 'request').then(([, response]) => once(response, 'close'))
  const aborted = fetch(`http://127.0.0.1:${(http.address() as AddressInfo).port}/v2/sandboxes`, {
    method: 'POST',
    headers: { 'x-api-key': t.key, 'content-type': 'application/json', 'idempotency-key': 'k1' },
    body: '{"templateID":"base"}',
    signal: abort.signal,
  })
  await expect.poll(() => t.node.acquireCalls).toBe(1)
  abort.abort()
  await expect(aborted).rejects.toThrow()
  await closed
  gate.resolve()
  await expect.poll(async () => (await create('k1')).status).toBe(201)
  const { sandboxID } = (await create('k1')).body
  expect([await t.statusOf(sandboxID), machines()]).toEqual([200, 1])
  http.close()
  http.closeAllConnections()
})

test('neither the key nor the tokens of its answer are in the database table', async () => {
  const { body } = await create('my-secret-key', { network: { allowPublicTraffic: false } })
  const text = JSON.stringify(await rows())
  for (const secret of ['my-secret-key', body.envdAccessToken, body.trafficAccessToken, body.sandboxID])
    expect(text).not.toContain(secret)
})

test('a request does not run when the key cannot be recorded', async () => {
  await t.inStore((store) => sql`drop table idempotency_keys`.execute(store))
  const { status, body } = await create('a')
  expect([status, body.error_code]).toEqual([503, 'idempotency_unavailable'])
  expect(machines()).toBe(0)
  expect((await create(undefined)).status).toBe(201)
})

test('the oldest keys of a team with too many are deleted, those of other teams are kept', async () => {
  await t.inStore(async (store) => {
    const repository = new IdempotencyRepository(store)
    const { id: teamId } = await store.selectFrom('teams').select('id').executeTakeFirstOrThrow()
    for (let i = 0; i < 5; i++)
      await repository.insert({ teamId, keyHash: `k${i}`, requestHash: '', createdAtMs: i })
    expect(await repository.pruneTeams(3)).toBe(2)
    expect(await repository.pruneTeams(3)).toBe(0)
    expect(await repository.prune(4)).toBe(2)
  })
  expect((await rows()).map((row) => row.key_hash)).toEqual(['k4'])
})
