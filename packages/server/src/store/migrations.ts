import { SandlotError } from '@sandlot/protocol'
import { type Kysely, sql } from 'kysely'
import { BASELINE_VERSION, postgresMigrations } from './migrations/postgres.ts'
import { sqliteMigrations } from './migrations/sqlite.ts'
import type { Schema } from './schema.ts'
import type { StoreKind } from './store-url.ts'
import { liftTransactionTimeout } from './transactions.ts'

/** Any constant will do: it tells this lock from other advisory locks of the database. */
const MIGRATION_LOCK = 7_263_410_905

/** The newest version of the tables; the version that a database has is kept in `schema_version`. */
export const SCHEMA_VERSION = sqliteMigrations.length

/**
 * Brings the tables up to date. Servers and commands that start at once wait for the first of them, so a statement may take
 * as long as its whole migration.
 * @throws SandlotError conflict: a newer Sandlot has used this database
 */
export async function migrate(db: Kysely<Schema>, kind: StoreKind): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    if (kind === 'postgres') {
      await liftTransactionTimeout(transaction)
      await sql`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`.execute(transaction)
    }
    await sql`create table if not exists schema_version (version integer not null)`.execute(transaction)
    const { rows } = await sql<{ version: number }>`select version from schema_version`.execute(transaction)
    const version = rows[0]?.version ?? 0
    checkVersion(version)
    if (rows.length === 0) await sql`insert into schema_version (version) values (0)`.execute(transaction)
    if (version === SCHEMA_VERSION) return
    for (const statement of statementsAfter(version, kind)) await sql.raw(statement).execute(transaction)
    await sql`update schema_version set version = ${SCHEMA_VERSION}`.execute(transaction)
  })
}

function statementsAfter(version: number, kind: StoreKind): string[] {
  if (kind === 'sqlite') return sqliteMigrations.slice(version).flat()
  return postgresMigrations.slice(Math.max(0, version - BASELINE_VERSION + 1)).flat()
}

/** @returns 0: there are no tables of ours */
export async function schemaVersionOf(db: Kysely<Schema>, kind: StoreKind): Promise<number> {
  const exists =
    kind === 'sqlite'
      ? sql`select 1 from sqlite_master where name = 'schema_version'`
      : sql`select 1 where to_regclass('schema_version') is not null`
  if ((await exists.execute(db)).rows.length === 0) return 0
  const { rows } = await sql<{ version: number }>`select version from schema_version`.execute(db)
  return rows[0]?.version ?? 0
}

function checkVersion(version: number): void {
  if (version <= SCHEMA_VERSION) return
  throw new SandlotError(
    'conflict',
    `the database has tables of version ${version}, this Sandlot knows versions up to ${SCHEMA_VERSION}: start the newer Sandlot that made them, or restore the backup from before the upgrade`,
  )
}
