import type { EgressRecord } from '@sandlot/protocol/rest'
import { sql } from 'kysely'
import type { Store } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'
import { type EgressRow, fromRow } from './record-row.ts'

/** Rows that one statement deletes. */
export const PRUNE_BATCH = 2_000
/** Numbers of rows of one insert: only a few, so that few statements are prepared. */
const INSERT_SIZES = [100, 10, 1]

export interface EgressQuery {
  teamId: string
  sandboxId: string
  limit: number
  /** Records after this sequence number. Absent without `sinceMs`: the newest. */
  after?: number
  sinceMs?: number
  verdict?: string
  protocol?: string
  /** Lower-case; `*.name` stands for all names below it. */
  name?: string
}

export interface FoundRecords {
  records: EgressRecord[]
  /** Sequence number of the last record. */
  last?: number
  hasMore: boolean
}

/** Rows of connections. */
export class EgressRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Inserts records in one transaction; those that are there already are left alone. */
  async insert(rows: readonly EgressRow[]): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      for (let start = 0; start < rows.length; ) {
        const size = INSERT_SIZES.find((candidate) => candidate <= rows.length - start)!
        await transaction
          .insertInto('egress_records')
          .values(rows.slice(start, start + size))
          .onConflict((conflict) => conflict.column('id').doNothing())
          .execute()
        start += size
      }
    })
  }

  /** Lists records in the order in which they arrived. */
  async list(wanted: EgressQuery): Promise<FoundRecords> {
    const { teamId, sandboxId, limit, after, sinceMs, verdict, protocol, name } = wanted
    const isNewest = after === undefined && sinceMs === undefined
    let query = this.#store
      .selectFrom('egress_records')
      .selectAll()
      .where('team_id', '=', teamId)
      .where('sandbox_id', '=', sandboxId)
    if (after !== undefined) query = query.where('sequence', '>', after)
    if (sinceMs !== undefined) query = query.where('started_at', '>=', sinceMs)
    if (verdict !== undefined) query = query.where('verdict', '=', verdict)
    if (protocol !== undefined) query = query.where('protocol', '=', protocol)
    if (name?.startsWith('*.'))
      query = query.where(sql<boolean>`name like ${`%${likeText(name.slice(1))}`} escape '\\'`)
    else if (name !== undefined) query = query.where('name', '=', name)
    const rows = await query
      .orderBy('sequence', isNewest ? 'desc' : 'asc')
      .limit(limit + 1)
      .execute()
    const hasMore = !isNewest && rows.length > limit
    const page = rows.slice(0, limit)
    if (isNewest) page.reverse()
    return { records: page.map((row) => fromRow(row)), last: page.at(-1)?.sequence, hasMore }
  }

  /** Sequence number of the newest record of a sandbox; 0 when it has none. */
  async newestOf(sandboxId: string): Promise<number> {
    const row = await this.#store
      .selectFrom('egress_records')
      .select('sequence')
      .where('sandbox_id', '=', sandboxId)
      .orderBy('sequence', 'desc')
      .limit(1)
      .executeTakeFirst()
    return row?.sequence ?? 0
  }

  /** Whether a sandbox of the team has a row, which ended ones have for a while. */
  async hasSandbox(teamId: string, sandboxId: string): Promise<boolean> {
    const row = await this.#store
      .selectFrom('sandboxes')
      .select('id')
      .where('id', '=', sandboxId)
      .where('team_id', '=', teamId)
      .executeTakeFirst()
    return row !== undefined
  }

  /** Deletes a batch of the oldest records that are older than `beforeMs`. @returns how many */
  async prune(beforeMs: number): Promise<number> {
    const oldest = (limit: number) =>
      this.#store
        .selectFrom('egress_records')
        .select(['sequence', 'recorded_at'])
        .orderBy('sequence')
        .limit(limit)
        .execute()
    const isOld = ({ recorded_at }: { recorded_at: number }) => recorded_at < beforeMs
    if (!(await oldest(1)).some(isOld)) return 0
    const last = (await oldest(PRUNE_BATCH)).findLast(isOld)
    if (!last) return 0
    const result = await this.#store
      .deleteFrom('egress_records')
      .where('sequence', '<=', last.sequence!)
      .executeTakeFirst()
    return Number(result.numDeletedRows)
  }

  /** Deletes a batch of the oldest records of a sandbox or a team that has more than `keep`. @returns how many */
  async trim(column: 'sandbox_id' | 'team_id', id: string, keep: number): Promise<number> {
    const newestToGo = await this.#store
      .selectFrom('egress_records')
      .select('sequence')
      .where(column, '=', id)
      .orderBy('sequence', 'desc')
      .offset(keep)
      .limit(1)
      .executeTakeFirst()
    if (!newestToGo) return 0
    const batch = await this.#store
      .selectFrom('egress_records')
      .select('sequence')
      .where(column, '=', id)
      .where('sequence', '<=', newestToGo.sequence!)
      .orderBy('sequence')
      .limit(PRUNE_BATCH)
      .execute()
    await this.#store
      .deleteFrom('egress_records')
      .where(column, '=', id)
      .where('sequence', '<=', batch.at(-1)!.sequence!)
      .execute()
    return batch.length
  }

  /** Deletes a batch of the oldest of all records when there are more than `keep`. @returns how many */
  async trimAll(keep: number): Promise<number> {
    const { first, last } = await this.#store
      .selectFrom('egress_records')
      .select(({ fn }) => [fn.min('sequence').as('first'), fn.max('sequence').as('last')])
      .executeTakeFirstOrThrow()
    // counting reads the whole index, and there are at most as many records as numbers between the first and the last
    if (first == null || Number(last) - Number(first) < keep) return 0
    const { all } = await this.#store
      .selectFrom('egress_records')
      .select(({ fn }) => fn.countAll().as('all'))
      .executeTakeFirstOrThrow()
    const excess = Number(all) - keep
    if (excess <= 0) return 0
    const newestToGo = await this.#store
      .selectFrom('egress_records')
      .select('sequence')
      .orderBy('sequence')
      .offset(Math.min(excess, PRUNE_BATCH) - 1)
      .limit(1)
      .executeTakeFirstOrThrow()
    const result = await this.#store
      .deleteFrom('egress_records')
      .where('sequence', '<=', newestToGo.sequence!)
      .executeTakeFirst()
    return Number(result.numDeletedRows)
  }
}

const likeText = (text: string): string => text.replace(/[\\%_]/g, '\\$&')
