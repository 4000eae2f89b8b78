import type { Store } from '../store/store.ts'
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
}

export class EventRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async list({
    teamId,
    sandboxId,
    offset,
    limit,
    isAscending,
    types,
    fromMs,
    toMs,
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
    return rows.map(({ body }) => JSON.parse(body) as LifecycleEvent)
  }

  /** @returns how many older than `beforeMs` went, at most a batch */
  async prune(beforeMs: number): Promise<number> {
    const rows = await this.#store
      .selectFrom('events')
      .select('sequence')
      .where('timestamp', '<', beforeMs)
      .limit(PRUNE_BATCH)
      .execute()
    const last = rows.at(-1)?.sequence
    if (last === undefined) return 0
    await this.#store
      .deleteFrom('events')
      .where('sequence', '<=', last)
      .where('timestamp', '<', beforeMs)
      .execute()
    return rows.length
  }
}
