import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lossyProxy } from '../test-support/broken-postgres.ts'
import { isOnPostgres, newTestDatabase, type TestDatabase } from '../test-support/database.ts'
import { copyStore } from './copy.ts'
import { takeLease } from './lease.ts'
import { openStore, type Store } from './open-store.ts'
import { inTransaction } from './transactions.ts'

/** A lease ends at most so long after its holder. */
const WITHIN = { timeout: 15_000, interval: 100 }

describe.runIf(isOnPostgres)('on PostgreSQL', () => {
  let directory: string
  let database: TestDatabase
  let stores: Store[] = []
  const open = async (url = database.url) => {
    const store = await openStore(url)
    stores.push(store)
    return store
  }
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'sandlot-pg-test-'))
    database = await newTestDatabase(directory)
  })
  afterEach(async () => {
    for (const store of stores) await store.destroy()
    stores = []
    await database.remove()
    rmSync(directory, { recursive: true, force: true })
  })

  const event = (id: string) => ({
    id,
    team_id: 'team',
    sandbox_id: 'sandbox',
    type: 'type',
    timestamp: 1,
    body: '{}',
  })
  const idsIn = async (store: Store) =>
    (await store.selectFrom('events').select('id').orderBy('sequence').execute()).map(({ id }) => id)
  const newPlan = (name: string) => ({
    name,
    concurrent_sandboxes: 1,
    creates_per_second: 0.1,
    max_length_hours: null,
    requests_per_second: null,
  })

  test('events are numbered in the order of their commits', async () => {
    const store = await open()
    let commitFirst = () => {}
    const isHeld = new Promise<void>((resolve) => {
      commitFirst = resolve
    })
    let hasInserted = () => {}
    const inserted = new Promise<void>((resolve) => {
      hasInserted = resolve
    })
    const first = inTransaction(store, async (transaction) => {
      await transaction.insertInto('events').values(event('first')).execute()
      hasInserted()
      await isHeld
    })
    await inserted
    const second = store.insertInto('events').values(event('second')).execute()
    const waiting = async () =>
      (
        await sql`select 1 from pg_locks join pg_database on pg_database.oid = database
          where locktype = 'advisory' and not granted and datname = current_database()`.execute(store)
      ).rows.length
    try {
      await expect.poll(waiting).toBe(1)
      // a reader between the two must not see the later one first
      expect(await idsIn(store)).toEqual([])
    } finally {
      commitFirst()
      await Promise.all([first, second])
    }
    expect(await idsIn(store)).toEqual(['first', 'second'])
  })

  test('transactions that decide by what they read are run again when another was faster', async () => {
    const store = await open()
    await store.insertInto('plans').values(newPlan('counter')).execute()
    let reads = 0
    let bothHaveRead = () => {}
    const read = new Promise<void>((resolve) => {
      bothHaveRead = resolve
    })
    const increment = () =>
      inTransaction(
        store,
        async (transaction) => {
          const { concurrent_sandboxes: count } = await transaction
            .selectFrom('plans')
            .select('concurrent_sandboxes')
            .where('name', '=', 'counter')
            .executeTakeFirstOrThrow()
          if (++reads === 2) bothHaveRead()
          await read
          await transaction
            .updateTable('plans')
            .set({ concurrent_sandboxes: count! + 1 })
            .where('name', '=', 'counter')
            .execute()
        },
        'serializable',
      )
    await Promise.all([increment(), increment()])
    expect(
      await store
        .selectFrom('plans')
        .select(['concurrent_sandboxes', 'creates_per_second'])
        .where('name', '=', 'counter')
        .executeTakeFirst(),
    ).toEqual({ concurrent_sandboxes: 3, creates_per_second: 0.1 })
    expect(reads).toBe(3)
  })

  test('a commit whose answer is lost counts, and is not done twice', async () => {
    const proxy = await lossyProxy(directory, new URLSearchParams(database.url.split('?')[1]).get('host')!)
    const store = await open(database.url.replace(/host=[^&]*/, `host=${directory}`))
    proxy.loseNextCommit()
    await inTransaction(store, (transaction) =>
      transaction.insertInto('plans').values(newPlan('kept')).execute(),
    )
    expect(await store.selectFrom('plans').select('name').where('name', '=', 'kept').execute()).toHaveLength(
      1,
    )
    await store.destroy()
    stores = []
    await proxy.close()
  })

  test('a transaction whose connection breaks is a 503, did nothing, and the next one works', async () => {
    const [store, other] = [await open(), await open()]
    const broken = inTransaction(store, async (transaction) => {
      await transaction.insertInto('plans').values(newPlan('a')).execute()
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(transaction)
      await sql`select pg_terminate_backend(${rows[0]!.pid})`.execute(other)
      await transaction.insertInto('plans').values(newPlan('b')).execute()
    })
    await expect(broken).rejects.toMatchObject({
      errorName: 'store_unavailable',
      status: 503,
      mayHaveActed: false,
      retryAfterSeconds: 2,
    })
    expect(await store.selectFrom('plans').select('name').execute()).toEqual([{ name: 'unlimited' }])
  })

  test('names and logs may hold what its text cannot', async () => {
    const store = await open()
    await store.insertInto('plans').values(newPlan('a\0b')).execute()
    expect(await store.selectFrom('plans').select('name').where('name', '=', 'a\0b').execute()).toHaveLength(
      1,
    )
  })

  test('a second server waits, says for whom, and takes over when the first one ends', async () => {
    const [first, second] = [await open(), await open()]
    const lost: string[] = []
    const onLost = (reason: string) => void lost.push(reason)
    const held = await takeLease(first, { about: 'the first', onWaiting: () => {}, onLost })
    const holders: string[] = []
    const waiting = takeLease(second, {
      about: 'the second',
      onWaiting: (holder) => void holders.push(holder),
      onLost,
    })
    await expect.poll(() => holders).toEqual(['the first'])
    await held.release()
    const next = await waiting
    await expect(first.selectFrom('plans').selectAll().execute()).rejects.toMatchObject({
      errorName: 'store_unavailable',
    })
    expect(await second.selectFrom('plans').selectAll().execute()).toHaveLength(1)
    await next.release()
    expect(lost.length).toBeLessThanOrEqual(1)
  })

  test('a server that does not renew its lease is taken over within 10 s, and can write no more', async () => {
    const [first, second] = [await open(), await open()]
    const reasons: string[] = []
    await takeLease(first, {
      about: 'first',
      onWaiting: () => {},
      onLost: (reason) => void reasons.push(reason),
    })
    // as a process that stands still: its connections are open, in the middle of a transaction
    const stalled = inTransaction(first, async (transaction) => {
      await transaction.insertInto('plans').values(newPlan('late')).execute()
      await sql`update control_plane_lease set expires_at = clock_timestamp(), epoch = epoch + 1`.execute(
        second,
      )
      const started = performance.now()
      const next = await takeLease(second, { about: 'second', onWaiting: () => {}, onLost: () => {} })
      expect(performance.now() - started).toBeLessThan(10_000)
      await transaction.insertInto('plans').values(newPlan('later')).execute()
      await next.release()
    })
    await expect(stalled).rejects.toMatchObject({ errorName: 'store_unavailable' })
    await expect.poll(() => reasons, WITHIN).toEqual(['second is the active server of the database now'])
    await expect(first.selectFrom('plans').selectAll().execute()).rejects.toMatchObject({ status: 503 })
    expect(await second.selectFrom('plans').select('name').execute()).toEqual([{ name: 'unlimited' }])
  }, 30_000)

  test('its tables have the columns of those of SQLite', async () => {
    const [postgres, sqlite] = [await open(), await open(':memory:')]
    const columnsOf = async (store: Store) =>
      (await store.introspection.getTables())
        .filter(({ name }) => name !== 'control_plane_lease')
        .map(({ name, columns }) => [name, columns.map((column) => column.name).sort()])
        .sort()
    expect(await columnsOf(postgres)).toEqual(await columnsOf(sqlite))
  })

  test('servers that start at once make the tables once', async () => {
    const empty = await database.empty()
    const store = await open(empty.url)
    await sql`drop schema public cascade`.execute(store)
    await sql`create schema public`.execute(store)
    const opened = await Promise.all(Array.from({ length: 4 }, () => open(empty.url)))
    expect(await opened[3]!.selectFrom('plans').select('name').execute()).toEqual([{ name: 'unlimited' }])
    for (const each of stores) await each.destroy()
    stores = []
  })

  test('a user without rights is told so', async () => {
    const store = await open()
    await sql`drop schema public cascade`.execute(store)
    await sql`create schema public`.execute(store)
    await sql`do $$ begin create role powerless login; exception when duplicate_object then null; end $$`.execute(
      store,
    )
    await expect(openStore(database.url.replace('sandlot@', 'powerless@'))).rejects.toThrow(
      /user 'powerless' has no right to make tables there/,
    )
  })

  test('a copy to SQLite and back is the same, and goes on with its numbers', async () => {
    const [source, sqlite] = [await open(), await open(`sqlite:${join(directory, 'copy.sqlite')}`)]
    await source.insertInto('plans').values(newPlan('own')).execute()
    for (let i = 0; i < 1_200; i++)
      await source
        .insertInto('events')
        .values(event(`e${i}`))
        .execute()
    await source
      .insertInto('checkpoints')
      .values({
        id: 'c',
        team_id: 't',
        sandbox_id: 's',
        parent_id: null,
        why: 'pause',
        state: 'complete',
        has_memory: 1,
        guest_unresponsive: 0,
        size_bytes: 2 ** 41,
        created_at: 1,
        node_id: 'old',
      })
      .execute()
    await copyStore(source, sqlite, { nodeId: '' })
    const back = await open((await database.empty()).url)
    const { tables } = await copyStore(sqlite, back, { nodeId: 'new' })
    expect(tables.filter(({ rows }) => rows > 0)).toEqual([
      { table: 'plans', rows: 2 },
      { table: 'checkpoints', rows: 1 },
      { table: 'events', rows: 1_200 },
    ])
    const checkpoint = await back.selectFrom('checkpoints').selectAll().executeTakeFirst()
    expect(checkpoint).toMatchObject({ size_bytes: 2 ** 41, node_id: 'new' })
    await back.insertInto('events').values(event('next')).execute()
    expect((await idsIn(back)).at(-1)).toBe('next')
    await expect(copyStore(sqlite, back, { nodeId: '' })).rejects.toThrow(/the target is not empty/)
    for (const store of stores) await store.destroy()
    stores = []
  }, 60_000)
})
