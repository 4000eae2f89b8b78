import { randomUUID } from 'node:crypto'
import { chmodSync, closeSync, openSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import { Kysely } from 'kysely'
import { type Gate, type PostgresDialect, postgresDialect } from './dialects/postgres.ts'
import { nodeSqliteDialect } from './dialects/sqlite.ts'
import { migrate } from './migrations.ts'
import { checkPostgres, describeConnectError } from './postgres-check.ts'
import type { Schema } from './schema.ts'
import { parseStoreUrl, type StoreKind } from './store-url.ts'

export type Store = Kysely<Schema>

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
  if (address.path !== ':memory:') {
    closeSync(openSync(address.path, 'a', 0o600))
    chmodSync(address.path, 0o600)
  }
  const store = new Kysely<Schema>({ dialect: nodeSqliteDialect(address.path) })
  await migrateOrClose(store, 'sqlite', options)
  return store
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
  await migrateOrClose(store, 'postgres', options).catch((error) => {
    throw describeConnectError(error, url)
  })
  return store
}

async function migrateOrClose(
  store: Store,
  kind: StoreKind,
  { migrates = true }: OpenOptions,
): Promise<void> {
  try {
    if (migrates) await migrate(store, kind)
  } catch (error) {
    await store.destroy()
    throw error
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
