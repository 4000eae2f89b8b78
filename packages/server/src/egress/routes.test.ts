import { randomUUID } from 'node:crypto'
import type { ConnectionRecord } from '@sandlot/protocol/node'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { EgressRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
let sandboxId: string
let teamId: string
beforeEach(async () => {
  t = under.current
  sandboxId = (await t.create()).sandboxID
  await t.inStore(async (store) => {
    teamId = (await store.selectFrom('sandboxes').select('team_id').executeTakeFirstOrThrow()).team_id
  })
})

const record = (fields: Partial<ConnectionRecord> = {}): ConnectionRecord => ({
  recordId: randomUUID(),
  sandboxId,
  teamId,
  startedAtMs: t.now,
  durationMs: 12,
  protocol: 'tls',
  name: 'pypi.org',
  address: '151.101.0.223',
  port: 443,
  bytesOut: 517,
  bytesIn: 0,
  verdict: 'denied',
  rule: 'deny 0.0.0.0/0',
  ...fields,
})
const emit = (...records: ConnectionRecord[]) =>
  t.node.events.emit({ type: 'connections', records, dropped: 0 })
const read = (query = ''): Promise<Answer> => t.call('GET', `/sandboxes/${sandboxId}/egress${query}`)
const namesOf = ({ body }: Answer) => body.records.map(({ name }: { name: string }) => name)
/** Emits a record for each name, and waits until all are stored. */
async function store(...names: string[]): Promise<void> {
  const before = (await read('?limit=1000&since=2000-01-01T00:00:00Z')).body.records.length
  emit(...names.map((name) => record({ name })))
  await expect
    .poll(async () => (await read('?limit=1000&since=2000-01-01T00:00:00Z')).body.records.length)
    .toBe(before + names.length)
}

test('a record has what the node said, and is kept when the sandbox has ended', async () => {
  const http = { method: 'GET', host: 'pypi.org', path: '/simple/', status: 200 }
  const full = record({ verdict: 'failed', reason: 'tls_rejected_by_client', http, protocol: 'https' })
  emit(full, record({ name: undefined, address: undefined, port: undefined, protocol: 'icmp' }))
  await expect.poll(async () => (await read()).body.records.length).toBe(2)
  await t.call('DELETE', `/sandboxes/${sandboxId}`)
  const { status, body } = await read()
  expect([status, body.hasMore]).toEqual([200, false])
  expect(body.records[0]).toEqual({
    recordID: full.recordId,
    startedAt: new Date(t.now).toISOString(),
    durationMs: 12,
    protocol: 'https',
    name: 'pypi.org',
    address: '151.101.0.223',
    port: 443,
    bytesOut: 517,
    bytesIn: 0,
    verdict: 'failed',
    rule: 'deny 0.0.0.0/0',
    reason: 'tls_rejected_by_client',
    http,
  })
  expect(body.records[1]).not.toHaveProperty('name')
})

test('without a cursor the newest records are listed, newest last; a cursor continues behind them', async () => {
  await store('a', 'b', 'c')
  const newest = await read('?limit=2')
  expect([namesOf(newest), newest.body.hasMore]).toEqual([['b', 'c'], false])
  const after = await read(`?cursor=${newest.body.nextCursor}`)
  expect(after.body).toEqual({ records: [], nextCursor: newest.body.nextCursor, hasMore: false })
  await store('d')
  expect(namesOf(await read(`?cursor=${newest.body.nextCursor}`))).toEqual(['d'])
  const pages: string[][] = []
  let query = `since=${new Date(t.now - 1000).toISOString()}`
  for (;;) {
    const page = await read(`?limit=3&${query}`)
    pages.push(namesOf(page))
    if (!page.body.hasMore) break
    query = `cursor=${page.body.nextCursor}`
  }
  expect(pages).toEqual([['a', 'b', 'c'], ['d']])
})

test('records are filtered by verdict, protocol, name and time', async () => {
  await store('pypi.org', 'files.pypi.org', 'notpypi.org', 'a_b.org')
  emit(record({ name: 'ok.org', verdict: 'allowed', protocol: 'dns', startedAtMs: t.now - 60_000 }))
  await expect.poll(async () => namesOf(await read())).toHaveLength(5)
  const of = async (query: string) => namesOf(await read(`?${query}`))
  expect(await of('verdict=allowed')).toEqual(['ok.org'])
  expect(await of('protocol=dns')).toEqual(['ok.org'])
  expect(await of('name=PyPI.org')).toEqual(['pypi.org'])
  expect(await of('name=*.pypi.org')).toEqual(['files.pypi.org'])
  expect(await of('name=*.b.org')).toEqual([])
  expect(await of('name=%25')).toEqual([])
  expect(await of(`since=${new Date(t.now).toISOString()}&verdict=allowed`)).toEqual([])
})

test('a record that arrives twice is kept once', async () => {
  const twice = record({ name: 'twice' })
  emit(twice)
  emit(twice, record({ name: 'once' }))
  await expect.poll(async () => namesOf(await read())).toEqual(['twice', 'once'])
})

test('texts of a guest are cut, and cannot act on a terminal or break the database', async () => {
  const path = `/\u001b[2J\0${'x'.repeat(9000)}\ud800`
  const http = { method: 'G'.repeat(99), host: `h\n${'h'.repeat(999)}`, path, status: 200 }
  emit(record({ http, bytesIn: Number.POSITIVE_INFINITY, durationMs: -1.5 }))
  await expect.poll(async () => (await read()).body.records.length).toBe(1)
  const [found] = (await read()).body.records
  expect(found.http.path).toMatch(/^\/\uFFFD\[2J\uFFFDx+$/)
  expect([found.http.path.length, found.http.method.length, found.http.host.length]).toEqual([512, 32, 255])
  expect([found.bytesIn, found.durationMs]).toEqual([0, 0])
})

test('an unknown sandbox is a 404, and wrong parameters are a 400', async () => {
  expect((await t.call('GET', '/sandboxes/inope/egress')).status).toBe(404)
  for (const query of ['cursor=x', 'limit=0', 'limit=1001', 'verdict=maybe', 'protocol=http3', 'since=now'])
    expect([query, (await read(`?${query}`)).status]).toEqual([query, 400])
})

describe('follow', () => {
  test('waits for the next record', async () => {
    await store('a')
    const { nextCursor } = (await read()).body
    const waiting = read(`?follow=true&cursor=${nextCursor}&verdict=denied`)
    emit(record({ name: 'allowed', verdict: 'allowed' }))
    emit(record({ name: 'b' }))
    expect(namesOf(await waiting)).toEqual(['b'])
    expect(namesOf(await read('?follow=true'))).toEqual(['a', 'allowed', 'b'])
  })

  test('reads what a filter leaves out once', async () => {
    await store('a', 'b')
    const { nextCursor } = (await read('?limit=1&since=2000-01-01T00:00:00Z')).body
    const waiting = read(`?follow=true&cursor=${nextCursor}&name=wanted`)
    await store('c')
    await store('d')
    t.server.refuseNew()
    const { body } = await waiting
    expect(body.records).toEqual([])
    expect(Number(body.nextCursor)).toBeGreaterThan(Number(nextCursor) + 1)
    expect(namesOf(await read(`?cursor=${body.nextCursor}`))).not.toContain('b')
  })

  test('does not wait for other sandboxes', async () => {
    const other = (await t.create()).sandboxID
    let isOver = false
    const waiting = read('?follow=true').then((answer) => {
      isOver = true
      return answer
    })
    emit(record({ sandboxId: other, name: 'other' }))
    await expect
      .poll(async () => (await t.call('GET', `/sandboxes/${other}/egress`)).body.records.length)
      .toBe(1)
    expect(isOver).toBe(false)
    emit(record({ name: 'mine' }))
    expect(namesOf(await waiting)).toEqual(['mine'])
  })

  test('ends when the server ends, and at most 100 requests of a team wait', async () => {
    const waiting = Array.from({ length: 100 }, () => read('?follow=true'))
    await expect.poll(async () => (await read('?follow=true')).status).toBe(429)
    t.server.refuseNew()
    for (const { status, body } of await Promise.all(waiting))
      expect([status, body.records]).toEqual([200, []])
  })
})

describe('records are deleted', () => {
  const rows = () =>
    t.inStore(async (db) =>
      (await db.selectFrom('egress_records').select('name').orderBy('sequence').execute()).map(
        ({ name }) => name,
      ),
    )
  const within = <T>(work: (repository: EgressRepository) => Promise<T>) =>
    t.inStore((db) => work(new EgressRepository(db)))

  test('by age', async () => {
    await store('old')
    t.now += 10_000
    await store('new')
    expect(await within((repository) => repository.prune(t.now))).toBe(1)
    expect(await within((repository) => repository.prune(t.now))).toBe(0)
    expect(await rows()).toEqual(['new'])
  })

  test('beyond what a sandbox, a team and all may keep, the oldest first', async () => {
    await store('a', 'b', 'c', 'd', 'e')
    expect(await within((repository) => repository.trim('sandbox_id', 'inone', 0))).toBe(0)
    expect(await within((repository) => repository.trim('sandbox_id', sandboxId, 4))).toBe(1)
    expect(await within((repository) => repository.trim('team_id', teamId, 3))).toBe(1)
    expect(await within((repository) => repository.trimAll(3))).toBe(0)
    expect(await within((repository) => repository.trimAll(2))).toBe(1)
    expect(await rows()).toEqual(['d', 'e'])
  })
})

describe('/metrics', () => {
  const text = async () => {
    const { body, headers, status } = await t.call('GET', '/metrics')
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8'])
    return body
  }

  test('counts connections by verdict and reason, with a bounded number of labels', async () => {
    emit(
      record(),
      record({ rule: 'deny 10.0.0.0/8' }),
      record({ rule: 'closed range' }),
      record({ verdict: 'failed', reason: 'name_not_found' }),
      record({ verdict: 'allowed', rule: 'default' }),
      record({ reason: 'x"} 1\n' }),
      ...Array.from({ length: 100 }, (_, index) =>
        record({ reason: `r_${String.fromCharCode(97 + (index % 26), 97 + Math.floor(index / 26))}` }),
      ),
    )
    const body = await text()
    for (const line of [
      'sandlot_egress_connections_total{verdict="denied",reason="rule"} 2',
      'sandlot_egress_connections_total{verdict="denied",reason="closed_range"} 1',
      'sandlot_egress_connections_total{verdict="failed",reason="name_not_found"} 1',
      'sandlot_egress_connections_total{verdict="allowed",reason="none"} 1',
      'sandlot_egress_records_dropped_total 0',
    ])
      expect(body.split('\n')).toContain(line)
    expect(body.split('\n').length).toBeLessThan(60)
    expect(body).toContain('reason="other"')
  })

  test('a sandbox that makes more records than are kept is counted but does not fill the database', async () => {
    emit(...Array.from({ length: 10_500 }, () => record()))
    expect(await text()).toContain('{verdict="denied",reason="rule"} 10500')
    expect(await text()).toContain('sandlot_egress_records_dropped_total 500')
  })

  test('counts packets beyond the limit of connections, also of sandboxes without records', async () => {
    const refused = [2, 3].map((packets) => ({ teamId: record().teamId, packets }))
    t.node.events.emit({ type: 'connectionLimit', refused: [...refused, { teamId: 'another', packets: 9 }] })
    expect((await text()).split('\n')).toContain('sandlot_egress_connection_limit_refused_packets_total 5')
  })

  test('needs a key, and shows nothing of other teams', async () => {
    emit(record({ teamId: 'another' }))
    expect(await text()).not.toContain('{')
    expect((await t.call('GET', '/metrics', undefined, {})).status).toBe(401)
  })
})

describe('a database that is away', () => {
  let restore: (() => void) | undefined
  afterEach(() => restore?.())

  test('costs neither memory nor time, and records are stored again when it answers', async () => {
    const original = EgressRepository.prototype.insert
    let calls = 0
    restore = () => {
      EgressRepository.prototype.insert = original
    }
    EgressRepository.prototype.insert = async () => {
      calls++
      throw new Error('the disk is full')
    }
    emit(record({ name: 'first' }))
    await expect.poll(() => calls).toBeGreaterThan(0)
    for (let i = 0; i < 12; i++) emit(...Array.from({ length: 1_000 }, () => record({ sandboxId: `i${i}` })))
    restore()
    await expect.poll(async () => namesOf(await read()), { timeout: 10_000 }).toEqual(['first'])
    const { body } = await t.call('GET', '/metrics')
    expect(body).toContain('sandlot_egress_records_dropped_total 2001')
  })
})
