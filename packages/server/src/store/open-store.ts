import { chmodSync, closeSync, openSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import { Kysely } from 'kysely'
import { nodeSqliteDialect } from './dialects/sqlite.ts'
import { migrate } from './migrations.ts'
import type { Schema } from './schema.ts'

export type Store = Kysely<Schema>

/** Opens (or makes, mode 0600: it holds sandboxes' access tokens) the database and brings it up to date. */
export async function openStore(path: string): Promise<Store> {
  if (path !== ':memory:') {
    closeSync(openSync(path, 'a', 0o600))
    chmodSync(path, 0o600)
  }
  const store = new Kysely<Schema>({ dialect: nodeSqliteDialect(path) })
  await migrate(store)
  return store
}

/** A full disk is the user's to mend; everything else stays as it is. */
export function storeError(error: unknown): unknown {
  const { errcode, code } = error as { errcode?: number; code?: string }
  const SQLITE_FULL = 13
  if (errcode === SQLITE_FULL || code === 'ENOSPC')
    return new SandlotError('disk_full', 'the disk of this machine is full; free some space and try again', {
      cause: error,
    })
  return error
}
