import type { Store } from '../store/open-store.ts'
import type { SecretsTable } from '../store/schema.ts'
import { inTransaction } from '../store/transactions.ts'
import type { Sealed } from './vault.ts'

/** A secret as answers show it. */
export interface Secret {
  id: string
  /** Lower-case. */
  name: string
  /** Number of the value: 1 for the first. */
  version: number
  metadata: Record<string, string>
  createdAtMs: number
  updatedAtMs: number
}

/** A secret with its encrypted value. */
export interface SealedSecret extends Secret {
  sealed: Sealed
}

/** A name, or an id: names never look like an id. */
export interface SecretReference {
  id?: string
  name?: string
}

const SHOWN = ['id', 'name', 'version', 'metadata', 'created_at', 'updated_at'] as const

/** Secrets of teams; values are sealed. Only the newest value of a secret is kept. */
export class SecretRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async list(teamId: string): Promise<Secret[]> {
    const rows = await this.#store
      .selectFrom('secrets')
      .select(SHOWN)
      .where('team_id', '=', teamId)
      .orderBy('created_at', 'desc')
      .execute()
    return rows.map(toSecret)
  }

  async find(teamId: string, reference: SecretReference): Promise<SealedSecret | undefined> {
    return findIn(this.#store, teamId, reference)
  }

  /**
   * Inserts a secret in one transaction with `check`, so that concurrent creates cannot pass a limit.
   * @param check called with the number of secrets of the team; its error ends the transaction
   * @returns false when the team has a secret with this name
   */
  async insert(teamId: string, secret: SealedSecret, check: (count: number) => void): Promise<boolean> {
    return inTransaction(
      this.#store,
      async (transaction) => {
        if (await findIn(transaction, teamId, { name: secret.name })) return false
        check(await countIn(transaction, teamId))
        const result = await transaction
          .insertInto('secrets')
          .values({ ...toRow(secret), id: secret.id, team_id: teamId, created_at: secret.createdAtMs })
          .onConflict((conflict) => conflict.columns(['team_id', 'name']).doNothing())
          .executeTakeFirst()
        return result.numInsertedOrUpdatedRows === 1n
      },
      'serializable',
    )
  }

  /** Replaces value and metadata. @returns false when the secret is gone or no longer has the version before this one */
  async replace(teamId: string, secret: SealedSecret): Promise<boolean> {
    const result = await this.#store
      .updateTable('secrets')
      .set(toRow(secret))
      .where('team_id', '=', teamId)
      .where('id', '=', secret.id)
      .where('version', '=', secret.version - 1)
      .executeTakeFirst()
    return result.numUpdatedRows === 1n
  }

  async delete(teamId: string, reference: SecretReference): Promise<boolean> {
    const [column, value] = columnOf(reference)
    const result = await this.#store
      .deleteFrom('secrets')
      .where('team_id', '=', teamId)
      .where(column, '=', value)
      .executeTakeFirst()
    return result.numDeletedRows > 0n
  }
}

async function findIn(
  store: Store,
  teamId: string,
  reference: SecretReference,
): Promise<SealedSecret | undefined> {
  const [column, value] = columnOf(reference)
  const row = await store
    .selectFrom('secrets')
    .select([...SHOWN, 'key_id', 'value'])
    .where('team_id', '=', teamId)
    .where(column, '=', value)
    .executeTakeFirst()
  return row && { ...toSecret(row), sealed: { keyId: row.key_id, value: row.value } }
}

async function countIn(store: Store, teamId: string): Promise<number> {
  const { count } = await store
    .selectFrom('secrets')
    .select((column) => column.fn.countAll<number>().as('count'))
    .where('team_id', '=', teamId)
    .executeTakeFirstOrThrow()
  return Number(count)
}

const columnOf = ({ id, name }: SecretReference): ['id' | 'name', string] =>
  id === undefined ? ['name', name!] : ['id', id]

const toRow = ({ name, version, metadata, updatedAtMs, sealed }: SealedSecret) => ({
  name,
  version,
  metadata: JSON.stringify(metadata),
  updated_at: updatedAtMs,
  key_id: sealed.keyId,
  value: sealed.value,
})

const toSecret = (row: Pick<SecretsTable, (typeof SHOWN)[number]>): Secret => ({
  id: row.id,
  name: row.name,
  version: row.version,
  metadata: JSON.parse(row.metadata) as Record<string, string>,
  createdAtMs: row.created_at,
  updatedAtMs: row.updated_at,
})
