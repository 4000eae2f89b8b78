import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lossyProxy } from '../test-support/broken-postgres.ts'
import { isOnPostgres, newTestDatabase, type TestDatabase } from '../test-support/database.ts'
import { copyStore } from './copy.ts'
import { type Lease, takeLease } from './lease.ts'
import { type OpenOptions, openStore, type Store } from './open-store.ts'
import { inTransaction } from './transactions.ts'

const nameOf = (url: string): string => /\/([^/?]+)\?/.exec(url)![1]!

/** A lease ends at most so long after its holder. */
const WITHIN = { timeout: 15_000, interval: 100 }

describe.runIf(isOnPostgres)('on PostgreSQL', () => {
  let directory: string
  let database: TestDatabase
  let stores: Store[] = []
  const open = async (url = database.url, options: OpenOptions = {}) => {
    const store = await openStore(url, options)
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
  const plansIn = async (store: Store) =>
    (await store.selectFrom('plans').select('name').orderBy('name').execute()).map(({ name }) => name)
  const socketFolder = () => new URLSearchParams(database.url.split('?')[1]).get('host')!
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

  test.each([1, 3])(
    '%s commits whose answers are lost count, also when they take the whole pool',
    async (count) => {
      const proxy = await lossyProxy(directory, socketFolder())
      const url = database.url.replace(/host=[^&]*/, `host=${directory}`)
      const store = await open(url, { maxConnections: count })
      const names = Array.from({ length: count }, (_, i) => `kept ${i}`)
      proxy.loseNextCommits(count)
      await Promise.all(
        names.map((name) =>
          inTransaction(store, (transaction) =>
            transaction.insertInto('plans').values(newPlan(name)).execute(),
          ),
        ),
      )
      expect(await plansIn(store)).toEqual([...names, 'unlimited'])
      await store.destroy()
      stores = []
      await proxy.close()
    },
  )

  test('a commit that its server did not end is said to have done nothing', async () => {
    const [store, other] = [await open(database.url, { maxConnections: 1 }), await open()]
    await sql`create function wait() returns trigger language plpgsql as
      $$ begin perform pg_sleep(60); return null; end $$`.execute(other)
    await sql`create constraint trigger wait after insert on plans deferrable initially deferred
      for each row execute function wait()`.execute(other)
    const broken = inTransaction(store, (transaction) =>
      transaction.insertInto('plans').values(newPlan('a')).execute(),
    )
    broken.catch(() => {})
    const terminated = async () =>
      (
        await sql`select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and query = 'commit' and state = 'active'`.execute(other)
      ).rows.length
    await expect.poll(terminated).toBe(1)
    await expect(broken).rejects.toMatchObject({ errorName: 'store_unavailable', mayHaveActed: false })
    expect(await plansIn(store)).toEqual(['unlimited'])
  })

  test('a transaction that ignores the error of a statement fails with that error', async () => {
    const store = await open()
    const ignoring = inTransaction(store, async (transaction) => {
      const insert = () => transaction.insertInto('plans').values(newPlan('twice')).execute()
      await insert()
      await insert().catch(() => {})
    })
    await expect(ignoring).rejects.toThrow(/duplicate key/)
    expect(await plansIn(store)).toEqual(['unlimited'])
    await inTransaction(store, (transaction) =>
      transaction.insertInto('plans').values(newPlan('next')).execute(),
    )
    expect(await plansIn(store)).toEqual(['next', 'unlimited'])
  })

  test('limits and names of the URL, the role and the database do not count', async () => {
    const admin = await open()
    for (const name of ['statement_timeout', 'lock_timeout', 'idle_session_timeout'])
      await sql`alter database ${sql.id(nameOf(database.url))} set ${sql.raw(name)} = '70ms'`.execute(admin)
    const store = await open(
      `${database.url}&application_name=mine&statement_timeout=60&query_timeout=60&options=-c%20lock_timeout%3D60%20-c%20work_mem%3D77MB`,
      { maxConnections: 1 },
    )
    const names = [
      'application_name',
      'statement_timeout',
      'lock_timeout',
      'idle_session_timeout',
      'work_mem',
    ]
    const settings = await sql<{ name: string; value: string }>`select name, current_setting(name) as value
      from pg_settings where name in (${sql.join(names)}) order by name`.execute(store)
    expect(Object.fromEntries(settings.rows.map(({ name, value }) => [name, value]))).toEqual({
      application_name: expect.stringMatching(/^sandlot [0-9a-f-]{36}$/),
      ...{ idle_session_timeout: '0', lock_timeout: '0', statement_timeout: '30s', work_mem: '77MB' },
    })
    await sql`select pg_sleep(0.2)`.execute(store)
  })

  test('a migration waits for another one longer than a role lets statements wait', async () => {
    const empty = await database.empty()
    const other = await open(empty.url)
    await sql`drop schema public cascade`.execute(other)
    await sql`create schema public`.execute(other)
    await sql`alter database ${sql.id(nameOf(empty.url))} set lock_timeout = '50ms'`.execute(other)
    const opening = await other.transaction().execute(async (transaction) => {
      await sql`select pg_advisory_xact_lock(7263410905)`.execute(transaction)
      const store = open(empty.url)
      store.catch(() => {})
      const waiting = async () =>
        (await sql`select 1 from pg_locks where locktype = 'advisory' and not granted`.execute(transaction))
          .rows.length
      await expect.poll(waiting).toBe(1)
      await sql`select pg_sleep(0.2)`.execute(transaction)
      return { store }
    })
    expect(await plansIn(await opening.store)).toEqual(['unlimited'])
    for (const store of stores) await store.destroy()
    stores = []
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
    expect(await plansIn(store)).toEqual(['unlimited'])
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

  test('a server that died is taken over although the clock of the database was set back', async () => {
    const store = await open()
    await sql`insert into control_plane_lease (name, holder, about, epoch, expires_at)
      values ('active', 'sandlot dead', 'the dead', 1, clock_timestamp() + interval '1 hour')`.execute(store)
    const holders: string[] = []
    const started = performance.now()
    const held = await takeLease(store, {
      about: 'second',
      onWaiting: (holder) => void holders.push(holder),
      onLost: () => {},
    })
    // not before a living server would have renewed it
    expect(performance.now() - started).toBeGreaterThan(8_000)
    expect(performance.now() - started).toBeLessThan(12_000)
    expect(holders).toEqual(['the dead'])
    await held.release()
  }, 30_000)

  test('a lease that is released during a renewal stays released', async () => {
    const [first, other] = [await open(), await open()]
    const held = await takeLease(first, { about: 'first', onWaiting: () => {}, onLost: () => {} })
    const releasing = await other.transaction().execute(async (transaction) => {
      await sql`select 1 from control_plane_lease for update`.execute(transaction)
      const renewing = async () =>
        (
          await sql`select 1 from pg_stat_activity where datname = current_database()
            and application_name like '% lease' and wait_event_type = 'Lock'`.execute(transaction)
        ).rows.length
      await expect.poll(renewing).toBe(1)
      return { end: held.release() }
    })
    await releasing.end
    await expect(first.selectFrom('plans').selectAll().execute()).rejects.toMatchObject({ status: 503 })
    const { rows } = await sql<{ is_over: boolean }>`select expires_at < clock_timestamp() as is_over
      from control_plane_lease`.execute(other)
    expect(rows).toEqual([{ is_over: true }])
  })

  test.each([
    ['nothing', false],
    ['pg_signal_backend', true],
    ['the role', true],
  ])(
    'a server of another user that was granted %s takes over: %s',
    async (granted, takesOver) => {
      const admin = await open()
      const [formerUser, nextUser] = [
        `former_${randomUUID().slice(0, 8)}`,
        `next_${randomUUID().slice(0, 8)}`,
      ]
      for (const user of [formerUser, nextUser]) {
        await sql`create role ${sql.id(user)} login`.execute(admin)
        await sql`grant all on all tables in schema public to ${sql.id(user)}`.execute(admin)
      }
      const grant = { pg_signal_backend: 'pg_signal_backend', 'the role': formerUser }[granted]
      if (grant) await sql`grant ${sql.id(grant)} to ${sql.id(nextUser)}`.execute(admin)
      const as = (user: string) => open(database.url.replace('sandlot@', `${user}@`))
      const [first, second] = [await as(formerUser), await as(nextUser)]
      await takeLease(first, { about: 'first', onWaiting: () => {}, onLost: () => {} })
      const holders: string[] = []
      const giveUp = new AbortController()
      let taking: Promise<Lease> | undefined
      const stalled = inTransaction(first, async (transaction) => {
        await transaction.insertInto('plans').values(newPlan('late')).execute()
        // the first server's process stood still, and another one had the lease meanwhile
        await sql`update control_plane_lease set expires_at = clock_timestamp(), epoch = epoch + 1`.execute(
          admin,
        )
        taking = takeLease(second, {
          about: 'second',
          onWaiting: (holder) => void holders.push(holder),
          onLost: () => {},
          signal: giveUp.signal,
        })
        if (takesOver) await taking
        else
          await expect
            .poll(() => holders)
            .toEqual([
              `first has connections of user ${formerUser}, which user ${nextUser} may not end (\`grant pg_signal_backend to ${nextUser}\` lets it), and`,
            ])
        await transaction.insertInto('plans').values(newPlan('later')).execute()
      })
      if (takesOver) {
        await expect(stalled).rejects.toMatchObject({ errorName: 'store_unavailable' })
        await (await taking!).release()
      } else await stalled
      giveUp.abort()
      await taking!.catch(() => {})
      expect(await plansIn(admin)).toEqual(takesOver ? ['unlimited'] : ['late', 'later', 'unlimited'])
      for (const store of stores) await store.destroy()
      stores = []
    },
    30_000,
  )

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
