import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStore, storeError } from './open-store.ts'

let directory: string
let path: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sandlot-store-test-'))
  path = join(directory, 'db.sqlite')
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const plan = (name: string) => ({
  name,
  concurrent_sandboxes: 1,
  creates_per_second: null,
  max_length_hours: 0.5,
  requests_per_second: null,
})

test('the database file is readable only for its owner, and keeps its content', async () => {
  const store = await openStore(`sqlite:${path}`)
  await store.insertInto('plans').values(plan('kept')).execute()
  for (const file of [path, `${path}-wal`]) expect(statSync(file).mode & 0o777).toBe(0o600)
  await store.destroy()
  const again = await openStore(`sqlite:${path}`)
  expect(await again.selectFrom('plans').selectAll().where('name', '=', 'kept').execute()).toMatchObject([
    plan('kept'),
  ])
  await again.destroy()
})

test('a transaction that fails leaves nothing, and the next one works', async () => {
  const store = await openStore(`sqlite:${path}`)
  const failing = store.transaction().execute(async (transaction) => {
    await transaction.insertInto('plans').values(plan('a')).execute()
    await transaction.insertInto('plans').values(plan('a')).execute()
  })
  await expect(failing).rejects.toThrow('UNIQUE')
  await store
    .transaction()
    .execute((transaction) => transaction.insertInto('plans').values(plan('b')).execute())
  expect((await store.selectFrom('plans').select('name').execute()).map(({ name }) => name)).toEqual([
    'b',
    'unlimited',
  ])
  await store.destroy()
})

test('statements beside a transaction wait for its end', async () => {
  const store = await openStore(`sqlite:${path}`)
  const inside = store.transaction().execute(async (transaction) => {
    await transaction.insertInto('plans').values(plan('a')).execute()
    await new Promise((resolve) => setTimeout(resolve, 20))
    await transaction.deleteFrom('plans').where('name', '=', 'a').execute()
  })
  const [, beside] = await Promise.all([inside, store.selectFrom('plans').select('name').execute()])
  expect(beside).toHaveLength(1)
  await store.destroy()
})

test('more different statements than are kept prepared all work', async () => {
  const store = await openStore(`sqlite:${path}`)
  for (let round = 0; round < 2; round++)
    for (let i = 0; i < 250; i++)
      expect((await sql<{ n: number }>`select ${sql.raw(String(i))} as n`.execute(store)).rows[0]?.n).toBe(i)
  await store.destroy()
})

test('a full disk is reported as such, also in the middle of a transaction', async () => {
  const store = await openStore(`sqlite:${path}`)
  await sql`pragma max_page_count = 60`.execute(store)
  const fill = async () => {
    for (let i = 0; i < 1000; i++)
      await store.transaction().execute((transaction) =>
        transaction
          .insertInto('plans')
          .values(plan(`${i}${'x'.repeat(3000)}`))
          .execute(),
      )
  }
  const error = await fill().catch(storeError)
  expect(error).toMatchObject({ errorName: 'disk_full', status: 507 })
  expect(await store.selectFrom('plans').select('name').limit(1).execute()).toHaveLength(1)
  await store.destroy()
})
