import type { Store } from '../store/open-store.ts'

const PRUNE_BATCH = 500

/** Row of a request with an `Idempotency-Key`. */
export interface IdempotentRow {
  teamId: string
  keyHash: string
  requestHash: string
  createdAtMs: number
  /** Sealed answer; undefined: the request is still running, or the answer was lost. */
  answer?: string
}

type RowKey = Pick<IdempotentRow, 'teamId' | 'keyHash'>

export class IdempotencyRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** @returns false when a row has this key already */
  async insert({ teamId, keyHash, requestHash, createdAtMs }: IdempotentRow): Promise<boolean> {
    const inserted = await this.#store
      .insertInto('idempotency_keys')
      .values({
        team_id: teamId,
        key_hash: keyHash,
        request_hash: requestHash,
        created_at: createdAtMs,
        answer: null,
      })
      .onConflict((conflict) => conflict.columns(['team_id', 'key_hash']).doNothing())
      .returning('key_hash')
      .execute()
    return inserted.length > 0
  }

  async find({ teamId, keyHash }: RowKey): Promise<IdempotentRow | undefined> {
    const row = await this.#store
      .selectFrom('idempotency_keys')
      .selectAll()
      .where('team_id', '=', teamId)
      .where('key_hash', '=', keyHash)
      .executeTakeFirst()
    return (
      row && {
        teamId,
        keyHash,
        requestHash: row.request_hash,
        createdAtMs: row.created_at,
        answer: row.answer ?? undefined,
      }
    )
  }

  async setAnswer({ teamId, keyHash }: RowKey, answer: string): Promise<void> {
    await this.#store
      .updateTable('idempotency_keys')
      .set({ answer })
      .where('team_id', '=', teamId)
      .where('key_hash', '=', keyHash)
      .execute()
  }

  async remove({ teamId, keyHash }: RowKey): Promise<void> {
    await this.#store
      .deleteFrom('idempotency_keys')
      .where('team_id', '=', teamId)
      .where('key_hash', '=', keyHash)
      .execute()
  }

  /** Deletes a batch of rows from before `beforeMs`. @returns how many */
  async prune(beforeMs: number): Promise<number> {
    const rows = await this.#store
      .selectFrom('idempotency_keys')
      .select(['team_id', 'key_hash'])
      .where('created_at', '<', beforeMs)
      .limit(PRUNE_BATCH)
      .execute()
    for (const row of rows) await this.remove({ teamId: row.team_id, keyHash: row.key_hash })
    return rows.length
  }

  /** Deletes a batch of the oldest rows of teams that have more than `maxPerTeam`. @returns how many */
  async pruneTeams(maxPerTeam: number): Promise<number> {
    const crowded = await this.#store
      .selectFrom('idempotency_keys')
      .select(['team_id', (column) => column.fn.countAll<number>().as('count')])
      .groupBy('team_id')
      .having((column) => column.fn.countAll(), '>', maxPerTeam)
      .execute()
    let pruned = 0
    for (const { team_id: teamId, count } of crowded) {
      const oldest = await this.#store
        .selectFrom('idempotency_keys')
        .select('key_hash')
        .where('team_id', '=', teamId)
        .orderBy('created_at')
        .limit(Math.min(PRUNE_BATCH, Number(count) - maxPerTeam))
        .execute()
      for (const row of oldest) await this.remove({ teamId, keyHash: row.key_hash })
      pruned += oldest.length
    }
    return pruned
  }
}
