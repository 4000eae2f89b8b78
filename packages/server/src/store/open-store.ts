import { randomUUID } from 'node:crypto'
import { chmodSync, closeSync, openSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import { Kysely } from 'kysely'
import { type Gate, type PostgresDialect, postgresDialect } from './dialects/postgres.ts'
import { nodeSqliteDialect } from './dialects/sqlite.ts'
import { migrate, SCHEMA_VERSION, schemaVersionOf } from './migrations.ts'
import { checkPostgres, describeConnectError } from './postgres-check.ts'
import type { Schema, Store } from './schema.ts'
import { parseStoreUrl, type StoreKind } from './store-url.ts'

/** Also how long a start waits for another server that migrates. */
const MIGRATION_TIMEOUT_MS = 60 * 60_000
/** SQLite's result codes for a file that cannot be opened, that is read-only, and that is no database. */
const UNUSABLE_FILE = new Set([14, 8, 26])

export type { Store }

export interface OpenOptions {
  /** Brings the tables up to date. Default true. */
  migrates?: boolean
  /** Most connections to PostgreSQL. Default 10. */
  maxConnections?: number
}

/** What the server needs of a PostgreSQL store beside its tables: the lease on it. */
export interface PostgresLink {
  url: string
  applicationName: string
  /** Decides whether statements may reach the database from now on. */
  setGate(gate: Gate): void
}

const links = new WeakMap<Store, PostgresLink>()

/**
 * Opens the database and brings its tables up to date. A SQLite file is made when it is missing, with mode 0600: it
 * holds sandboxes' access tokens.
 * @param url `sqlite:<path>`, `:memory:` or `postgres://…`
 * @throws SandlotError that says in one sentence what is wrong with the URL, the database or its rights
 */
export async function openStore(url: string, options: OpenOptions = {}): Promise<Store> {
  const address = parseStoreUrl(url)
  if (address.kind === 'postgres') return openPostgres(address.url, options)
  return openSqlite(address.path, options)
}

async function openSqlite(path: string, { migrates = true }: OpenOptions): Promise<Store> {
  let store: Store | undefined
  try {
    if (path !== ':memory:') {
      closeSync(openSync(path, 'a', 0o600))
      chmodSync(path, 0o600)
    }
    store = new Kysely<Schema>({ dialect: nodeSqliteDialect(path) })
    if ((await schemaVersionOf(store, 'sqlite')) !== SCHEMA_VERSION && migrates)
      await migrate(store, 'sqlite')
    return store
  } catch (error) {
    await store?.destroy()
    throw describeFileError(error, path)
  }
}

/** One sentence about why a file cannot be a database; other errors pass through. */
function describeFileError(error: unknown, path: string): unknown {
  const { code, errcode, message } = error as { code?: string; errcode?: number; message: string }
  const isOfFile = code !== undefined && code !== 'ENOSPC' && /^E[A-Z]+$/.test(code)
  if (!isOfFile && !UNUSABLE_FILE.has((errcode ?? 0) & 0xff)) return error
  return new SandlotError('invalid_request', `the store sqlite:${path} cannot be used: ${message}`, {
    cause: error,
  })
}

/**
 * Connects once: what is wrong with a store is said before a start does anything else.
 * @throws SandlotError as `openStore`
 */
export async function checkStore(url: string): Promise<void> {
  const address = parseStoreUrl(url)
  if (address.kind === 'postgres') await checkPostgres(address.url)
}

async function openPostgres(url: string, options: OpenOptions): Promise<Store> {
  await checkPostgres(url)
  const applicationName = `sandlot ${randomUUID()}`
  const dialect: PostgresDialect = postgresDialect(url, {
    applicationName,
    maxConnections: options.maxConnections,
  })
  const store = new Kysely<Schema>({ dialect })
  links.set(store, { url, applicationName, setGate: (gate) => void (dialect.gate = gate) })
  try {
    if (options.migrates ?? true) await migratePostgres(store, url)
    return store
  } catch (error) {
    await store.destroy()
    throw describeConnectError(error, url)
  }
}

/** Migrates over a connection of its own: the limits of the others would end a migration of large tables. */
async function migratePostgres(store: Store, url: string): Promise<void> {
  // a command beside a server must not wait for its transactions, nor keep it waiting
  if ((await schemaVersionOf(store, 'postgres')) === SCHEMA_VERSION) return
  const dialect = postgresDialect(url, {
    applicationName: 'sandlot migration',
    maxConnections: 1,
    statementTimeoutMs: MIGRATION_TIMEOUT_MS,
  })
  const patient = new Kysely<Schema>({ dialect })
  try {
    await migrate(patient, 'postgres')
  } finally {
    await patient.destroy()
  }
}

/** @returns undefined: the store is a SQLite file */
export const postgresLinkOf = (store: Store): PostgresLink | undefined => links.get(store)

export const kindOf = (store: Store): StoreKind => (links.has(store) ? 'postgres' : 'sqlite')

/** Tells whether a write that failed may have been made all the same: the connection can break before its answer comes. */
export function mayHaveWritten(error: unknown): boolean {
  const known = storeError(error)
  return !(known instanceof SandlotError) || known.mayHaveActed
}

/** Maps "disk full" to a SandlotError and passes other errors through. */
export function storeError(error: unknown): unknown {
  const { errcode, code } = error as { errcode?: number; code?: string }
  const SQLITE_FULL = 13
  if (errcode === SQLITE_FULL || code === 'ENOSPC')
    return new SandlotError('disk_full', 'the disk of this machine is full; free some space and try again', {
      cause: error,
    })
  return error
}
