import { randomUUID } from 'node:crypto'
import { hashSecret, newApiKey } from '@sandlot/protocol'
import type { Store } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'
import { type TeamRow, teamColumns, toTeam } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'

const PREFIX = 'e2b_'
const SHOWN_CHARACTERS = 4

export interface ApiKey {
  id: string
  teamId: string
  name: string
  maskedPrefix: string
  maskedSuffix: string
  createdAtMs: number
  lastUsedAtMs: number | null
}

export interface KeyOwner {
  keyId: string
  hash: string
  team: Team
  /** End of the session that the key belongs to; null: the key is valid until it is deleted. */
  expiresAtMs: number | null
}

export interface SessionKey {
  teamId: string
  sessionId: string
  name: string
  key: string
  atMs: number
}

/** API keys, stored by their SHA-256; only `create` returns the key itself. */
export class ApiKeyRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async create(teamId: string, name: string): Promise<ApiKey & { key: string }> {
    const key = newApiKey()
    const row = newRow(teamId, name, key, Date.now())
    await this.#store.insertInto('api_keys').values(row).execute()
    return { ...toApiKey(row), key }
  }

  async list(teamId?: string): Promise<ApiKey[]> {
    let query = this.#store.selectFrom('api_keys').selectAll().orderBy('created_at')
    if (teamId) query = query.where('team_id', '=', teamId)
    return (await query.execute()).map(toApiKey)
  }

  async countOf(teamId: string): Promise<number> {
    const { count } = await this.#store
      .selectFrom('api_keys')
      .select((column) => column.fn.countAll<number>().as('count'))
      .where('team_id', '=', teamId)
      .executeTakeFirstOrThrow()
    return Number(count)
  }

  async rename(teamId: string, id: string, name: string): Promise<boolean> {
    const result = await this.#store
      .updateTable('api_keys')
      .set({ name })
      .where('id', '=', id)
      .where('team_id', '=', teamId)
      .executeTakeFirst()
    return result.numUpdatedRows > 0n
  }

  /** Deletes a key, and the session that the key belongs to: the next sign-in creates another key. */
  async delete(id: string, teamId?: string): Promise<boolean> {
    return inTransaction(this.#store, async (transaction) => {
      let query = transaction.deleteFrom('api_keys').where('id', '=', id).returning('session_id')
      if (teamId) query = query.where('team_id', '=', teamId)
      const deleted = await query.executeTakeFirst()
      if (deleted?.session_id)
        await transaction.deleteFrom('sessions').where('id', '=', deleted.session_id).execute()
      return deleted !== undefined
    })
  }

  async findOwner(key: string): Promise<KeyOwner | undefined> {
    const row = await this.#store
      .selectFrom('api_keys')
      .innerJoin('teams', 'teams.id', 'api_keys.team_id')
      .innerJoin('plans', 'plans.name', 'teams.plan')
      .leftJoin('sessions', 'sessions.id', 'api_keys.session_id')
      .select(teamColumns)
      .select(['api_keys.id as key_id', 'api_keys.hash', 'sessions.expires_at'])
      .where('api_keys.hash', '=', hashSecret(key))
      .executeTakeFirst()
    return (
      row && {
        keyId: row.key_id,
        hash: row.hash,
        team: toTeam(row as TeamRow),
        expiresAtMs: row.expires_at,
      }
    )
  }

  async touch(id: string, atMs: number): Promise<void> {
    await this.#store.updateTable('api_keys').set({ last_used_at: atMs }).where('id', '=', id).execute()
  }
}

/** Inserts the key of a session, in the transaction that inserts the session. */
export async function insertSessionKey(store: Store, sessionKey: SessionKey): Promise<void> {
  const { teamId, sessionId, name, key, atMs } = sessionKey
  await store
    .insertInto('api_keys')
    .values({ ...newRow(teamId, name, key, atMs), session_id: sessionId })
    .execute()
}

function newRow(teamId: string, name: string, key: string, atMs: number) {
  const secret = key.slice(PREFIX.length)
  return {
    id: randomUUID(),
    team_id: teamId,
    name,
    hash: hashSecret(key),
    masked_prefix: secret.slice(0, SHOWN_CHARACTERS),
    masked_suffix: secret.slice(-SHOWN_CHARACTERS),
    created_at: atMs,
    last_used_at: null,
  }
}

const toApiKey = (row: {
  id: string
  team_id: string
  name: string
  masked_prefix: string
  masked_suffix: string
  created_at: number
  last_used_at: number | null
}): ApiKey => ({
  id: row.id,
  teamId: row.team_id,
  name: row.name,
  maskedPrefix: row.masked_prefix,
  maskedSuffix: row.masked_suffix,
  createdAtMs: row.created_at,
  lastUsedAtMs: row.last_used_at,
})
