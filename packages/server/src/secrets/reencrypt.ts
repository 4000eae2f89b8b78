import { SandlotError } from '@sandlot/protocol'
import { sql } from 'kysely'
import { contextOf as contextOfIdentityKey } from '../identity/signing-keys.ts'
import { kindOf, type Store } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'
import { keyIdOf } from './key-source.ts'
import { openValue, sealValue } from './sealed-value.ts'
import { contextOf as contextOfSecret } from './service.ts'
import { KEY_CHECK } from './vault.ts'

/** Numbers of values that were encrypted anew. */
export interface Reencrypted {
  secrets: number
  identityKeys: number
}

type Keys = ReadonlyMap<string, Uint8Array>

/** @returns whether values in the database need a key that is none of these */
export async function needsOtherKey(store: Store, keys: readonly Uint8Array[]): Promise<boolean> {
  const row = await store
    .selectFrom('server_secrets')
    .select('value')
    .where('name', '=', KEY_CHECK)
    .executeTakeFirst()
  return row !== undefined && !keys.map(keyIdOf).includes(row.value)
}

/**
 * Encrypts every value in the database with the first of the keys, in one transaction. No server may use the database
 * meanwhile. Once this resolves, the other keys are no longer needed, even after a power cut.
 * @param keys the new key, and those that values may be encrypted with
 * @throws SandlotError conflict: a value cannot be decrypted; nothing was changed
 */
export async function reencryptSecrets(store: Store, keys: readonly Uint8Array[]): Promise<Reencrypted> {
  const byId = new Map(keys.map((key) => [keyIdOf(key), key]))
  const newest = keyIdOf(keys[0]!)
  // by default a commit of SQLite may be lost in a power cut, and with it, the caller having removed it, the former key
  if (kindOf(store) === 'sqlite') await sql`pragma synchronous = full`.execute(store)
  return inTransaction(store, async (transaction) => {
    const secrets = await reencryptTeams(transaction, byId, newest)
    const identityKeys = await reencryptIdentityKeys(transaction, byId, newest)
    await transaction
      .updateTable('server_secrets')
      .set({ value: newest })
      .where('name', '=', KEY_CHECK)
      .execute()
    return { secrets, identityKeys }
  })
}

async function reencryptTeams(store: Store, keys: Keys, newest: string): Promise<number> {
  const ids = await store.selectFrom('secrets').select('id').where('key_id', '<>', newest).execute()
  for (const { id } of ids) {
    const row = await store
      .selectFrom('secrets')
      .select(['team_id', 'name', 'version', 'key_id', 'value'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow()
    const context = contextOfSecret(row.team_id, { id, version: row.version })
    const what = `secret '${row.name}' (${id})`
    const value = reseal({ keyId: row.key_id, value: row.value, context, what }, keys, newest)
    await store.updateTable('secrets').set({ key_id: newest, value }).where('id', '=', id).execute()
  }
  return ids.length
}

async function reencryptIdentityKeys(store: Store, keys: Keys, newest: string): Promise<number> {
  const rows = await store.selectFrom('identity_keys').selectAll().where('key_id', '<>', newest).execute()
  let count = 0
  for (const { sequence, kid, key_id: keyId, private_key: value } of rows) {
    // a key for identity tokens that is lost was replaced by another one (`signing-keys.ts`)
    if (!keys.has(keyId)) continue
    const context = contextOfIdentityKey({ sequence, kid })
    const sealed = { keyId, value, context, what: `key ${sequence} for identity tokens` }
    await store
      .updateTable('identity_keys')
      .set({ key_id: newest, private_key: reseal(sealed, keys, newest) })
      .where('sequence', '=', sequence)
      .execute()
    count++
  }
  return count
}

interface SealedRow {
  keyId: string
  value: string
  context: string[]
  /** For messages. */
  what: string
}

function reseal({ keyId, value, context, what }: SealedRow, keys: Keys, newest: string): string {
  const former = keys.get(keyId)
  if (!former) throw new SandlotError('conflict', `${what} is encrypted with another key than those given`)
  let opened: Buffer
  try {
    opened = openValue(value, former, context)
  } catch (cause) {
    throw new SandlotError(
      'conflict',
      `${what} cannot be decrypted: its row in the database was changed. Delete it, or restore the database from a backup`,
      { cause },
    )
  }
  const sealed = sealValue(opened, keys.get(newest)!, context)
  opened.fill(0)
  return sealed
}
