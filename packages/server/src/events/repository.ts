import type { Store } from '../store/open-store.ts'
import type { LifecycleEvent } from './events.ts'

const PRUNE_BATCH = 5_000

export interface EventQuery {
  teamId: string
  sandboxId?: string
  offset: number
  limit: number
  isAscending: boolean
  types?: string[]
  /** Inclusive, like `toMs`. */
  fromMs?: number
  toMs?: number
  withMetadata?: boolean
}

export class EventRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** @param query.withMetadata adds the metadata of the sandbox, which logs do not show */
  async list({
    teamId,
    sandboxId,
    offset,
    limit,
    isAscending,
    types,
    fromMs,
    toMs,
    withMetadata = false,
  }: EventQuery): Promise<LifecycleEvent[]> {
    let query = this.#store.selectFrom('events').select('body').where('team_id', '=', teamId)
    if (sandboxId) query = query.where('sandbox_id', '=', sandboxId)
    if (types) query = query.where('type', 'in', types)
    if (fromMs !== undefined) query = query.where('timestamp', '>=', fromMs)
    if (toMs !== undefined) query = query.where('timestamp', '<=', toMs)
    const rows = await query
      .orderBy('sequence', isAscending ? 'asc' : 'desc')
      .offset(offset)
      .limit(limit)
      .execute()
    const found = rows.map(({ body }) => JSON.parse(body) as LifecycleEvent)
    if (withMetadata) await this.#addMetadata(found)
    return found
  }

  async #addMetadata(found: LifecycleEvent[]): Promise<void> {
    const ids = [...new Set(found.map(({ sandbox_id }) => sandbox_id))]
    if (ids.length === 0) return
    const rows = await this.#store
      .selectFrom('sandboxes')
      .select(['id', 'metadata'])
      .where('id', 'in', ids)
      .execute()
    const metadata = new Map(rows.map((row) => [row.id, JSON.parse(row.metadata) as Record<string, string>]))
    // rows of events that former versions wrote contain the metadata
    for (const event of found)
      event.event_data = { sandbox_metadata: metadata.get(event.sandbox_id) ?? {}, ...event.event_data }
  }

  /** Deletes a batch of the oldest events of each team that has more than `keep`. @returns how many */
  async pruneTeams(keep: number): Promise<number> {
    const teams = await this.#store.selectFrom('teams').select('id').execute()
    let count = 0
    for (const { id } of teams) {
      const newestToGo = await this.#store
        .selectFrom('events')
        .select('sequence')
        .where('team_id', '=', id)
        .orderBy('sequence', 'desc')
        .offset(keep)
        .limit(1)
        .executeTakeFirst()
      if (!newestToGo) continue
      const rows = await this.#store
        .selectFrom('events')
        .select('sequence')
        .where('team_id', '=', id)
        .where('sequence', '<=', newestToGo.sequence!)
        .orderBy('sequence')
        .limit(PRUNE_BATCH)
        .execute()
      await this.#store
        .deleteFrom('events')
        .where('team_id', '=', id)
        .where('sequence', '<=', rows.at(-1)!.sequence!)
        .execute()
      count += rows.length
    }
    return count
  }

  /** Deletes a batch of events older than `beforeMs`. @returns how many */
  async prune(beforeMs: number): Promise<number> {
    const rows = await this.#store
      .selectFrom('events')
      .select('sequence')
      .where('timestamp', '<', beforeMs)
      .orderBy('timestamp')
      .limit(PRUNE_BATCH)
      .execute()
    if (rows.length === 0) return 0
    const last = Math.max(...rows.map(({ sequence }) => sequence!))
    await this.#store
      .deleteFrom('events')
      .where('sequence', '<=', last)
      .where('timestamp', '<', beforeMs)
      .execute()
    return rows.length
  }
}
