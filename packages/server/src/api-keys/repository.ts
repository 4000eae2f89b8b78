import { randomUUID } from 'node:crypto'
import { hashSecret, newApiKey } from '@sandlot/protocol'
import type { Store } from '../store/store.ts'
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
}

/** Keys are stored by their SHA-256; the key itself is shown once, by `create`. */
export class ApiKeyRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async create(teamId: string, name: string): Promise<ApiKey & { key: string }> {
    const key = newApiKey()
    const secret = key.slice(PREFIX.length)
    const row = {
      id: randomUUID(),
      team_id: teamId,
      name,
      hash: hashSecret(key),
      masked_prefix: secret.slice(0, SHOWN_CHARACTERS),
      masked_suffix: secret.slice(-SHOWN_CHARACTERS),
      created_at: Date.now(),
      last_used_at: null,
    }
    await this.#store.insertInto('api_keys').values(row).execute()
    return { ...toApiKey(row), key }
  }

  async list(teamId?: string): Promise<ApiKey[]> {
    let query = this.#store.selectFrom('api_keys').selectAll().orderBy('created_at')
    if (teamId) query = query.where('team_id', '=', teamId)
    return (await query.execute()).map(toApiKey)
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

  async delete(id: string, teamId?: string): Promise<boolean> {
    let query = this.#store.deleteFrom('api_keys').where('id', '=', id)
    if (teamId) query = query.where('team_id', '=', teamId)
    return (await query.executeTakeFirst()).numDeletedRows > 0n
  }

  async findOwner(key: string): Promise<KeyOwner | undefined> {
    const row = await this.#store
      .selectFrom('api_keys')
      .innerJoin('teams', 'teams.id', 'api_keys.team_id')
      .innerJoin('plans', 'plans.name', 'teams.plan')
      .select(teamColumns)
      .select(['api_keys.id as key_id', 'api_keys.hash'])
      .where('api_keys.hash', '=', hashSecret(key))
      .executeTakeFirst()
    return row && { keyId: row.key_id, hash: row.hash, team: toTeam(row as TeamRow) }
  }

  async touch(id: string, atMs: number): Promise<void> {
    await this.#store.updateTable('api_keys').set({ last_used_at: atMs }).where('id', '=', id).execute()
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
