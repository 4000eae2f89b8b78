import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isOnPostgres, newTestDatabase, type TestDatabase } from '../test-support/database.ts'
import { copyStore } from './copy.ts'
import { SCHEMA_VERSION } from './migrations.ts'
import { openStore, type Store } from './open-store.ts'

const FIXTURES = fileURLToPath(new URL('migrations/fixtures', import.meta.url))

type Row = Record<string, unknown>
type Tables = Record<string, Row[]>

let directory: string
let path: string
let target: TestDatabase
let stores: Store[] = []
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sandlot-migrations-'))
  path = join(directory, 'old.sqlite')
  target = await newTestDatabase(directory)
})
afterEach(async () => {
  for (const store of stores) await store.destroy()
  stores = []
  await target.remove()
  rmSync(directory, { recursive: true, force: true })
})

const open = async (url: string): Promise<Store> => {
  const store = await openStore(url)
  stores.push(store)
  return store
}

/** Every row of a SQLite file, in the order in which the rows were inserted. */
function rowsOf(file: string): Tables {
  const database = new DatabaseSync(file, { readOnly: true })
  const names = database.prepare(`select name from sqlite_master where type = 'table' order by name`).all()
  const tables = names.map(({ name }) => [
    name,
    database
      .prepare(`select * from ${name} order by rowid`)
      .all()
      .map((row) => ({ ...row })),
  ])
  database.close()
  return Object.fromEntries(tables)
}

/** What migrations add to the rows of a version, beside columns that are empty or have a constant. */
function expectedAfter(version: number, before: Tables): Tables {
  const change = (table: string, edit: (row: Row) => Row) => (before[table] ?? []).map(edit)
  const { schema_version, ...expected } = before
  if (version < 3)
    expected.templates = change('templates', (row) => ({
      ...row,
      ...{ team_id: null, is_public: 1, updated_at: row.created_at },
    }))
  if (version < 4)
    expected.builds = change('builds', (row) => ({
      ...row,
      ...{ status: 'ready', updated_at: row.created_at, finished_at: row.created_at },
    }))
  if (version < 6)
    expected.tag_assignments = change('template_tags', ({ created_at, ...row }) => ({
      ...row,
      assigned_at: created_at,
    }))
  return expected
}

const versions = Array.from({ length: SCHEMA_VERSION - 1 }, (_, i) => i + 1)

test('there is a database of every version before the present one', () => {
  expect(readdirSync(FIXTURES).sort()).toEqual(versions.map((version) => `version-${version}.sql`).sort())
})

describe.each(versions)('a SQLite database that the code of version %i made', (version) => {
  let before: Tables
  beforeEach(() => {
    const database = new DatabaseSync(path)
    database.exec(readFileSync(join(FIXTURES, `version-${version}.sql`), 'utf8'))
    database.close()
    before = rowsOf(path)
    expect(before.schema_version).toEqual([{ version }])
    for (const rows of Object.values(before)) expect(rows.length).toBeGreaterThan(0)
  })

  test.skipIf(isOnPostgres)('keeps every row, and gets the tables of a new one', async () => {
    const fresh = await open(`sqlite:${join(directory, 'fresh.sqlite')}`)
    const migrated = await open(`sqlite:${path}`)
    for (const [table, rows] of Object.entries(expectedAfter(version, before)))
      expect(rowsOf(path)[table], table).toMatchObject(rows)
    expect(rowsOf(path).schema_version).toEqual([{ version: SCHEMA_VERSION }])
    const shapeOf = async (store: Store) =>
      (
        await sql`select tables.name as "table", columns.name, columns.type, "notnull", dflt_value, pk
          from sqlite_master as tables, pragma_table_info(tables.name) as columns
          where tables.type = 'table' order by 1, 2`.execute(store)
      ).rows
    const namesIn = async (store: Store) =>
      (await sql`select name from sqlite_master order by name`.execute(store)).rows
    expect(await shapeOf(migrated)).toEqual(await shapeOf(fresh))
    expect(await namesIn(migrated)).toEqual(await namesIn(fresh))
    expect((await sql`pragma foreign_key_check`.execute(migrated)).rows).toEqual([])
    expect((await sql`pragma integrity_check`.execute(migrated)).rows).toEqual([{ integrity_check: 'ok' }])
  })

  test('can be copied, row by row, into another database', async () => {
    const migrated = await open(`sqlite:${path}`)
    const copied = await open(target.url)
    const { tables } = await copyStore(migrated, copied, { nodeId: 'here' })
    const after = rowsOf(path)
    expect(tables.map(({ table }) => table).sort()).toEqual(
      Object.keys(after)
        .filter((table) => table !== 'schema_version')
        .sort(),
    )
    for (const { table, rows } of tables) {
      const found = await sql<Row>`select * from ${sql.table(table)}`.execute(copied)
      const expected = after[table]!.map((row) => ('node_id' in row ? { ...row, node_id: 'here' } : row))
      expect(rows).toBe(expected.length)
      expect(sorted(found.rows), table).toEqual(sorted(expected))
    }
    await copied
      .insertInto('events')
      .values({ id: 'next', team_id: 'team-1', sandbox_id: 's', type: 't', timestamp: 1, body: '{}' })
      .execute()
    expect(await copied.selectFrom('events').select('sequence').where('id', '=', 'next').execute()).toEqual([
      { sequence: 8 },
    ])
  })
})

/** Rows without the order of their columns, which differs, in an order of their own. */
const sorted = (rows: Row[]): string[] =>
  rows.map((row) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)))).sort()
