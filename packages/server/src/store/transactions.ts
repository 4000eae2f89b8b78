import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { sql } from 'kysely'
import { isConflict } from './postgres-errors.ts'
import type { Store } from './schema.ts'

const MAX_ATTEMPTS = 10
/** Longest wait before the second attempt; the limit doubles with each further attempt. */
const CONFLICT_DELAY_MS = 2

/**
 * Runs `work` in one transaction, and retries when PostgreSQL aborted it in favour of a concurrent one. `work` must
 * have no effect that a rollback does not undo.
 * @param isolation `serializable` for one that decides by what it has read (docs/adr/0032). SQLite's always are.
 */
export async function inTransaction<T>(
  store: Store,
  work: (transaction: Store) => Promise<T>,
  isolation: 'read committed' | 'serializable' = 'read committed',
): Promise<T> {
  for (let attempt = 1; ; attempt++)
    try {
      return await store.transaction().setIsolationLevel(isolation).execute(work)
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !isConflict(error)) throw error
      // two conflicting transactions would conflict again if both retried at the same moment
      await sleep(Math.random() * CONFLICT_DELAY_MS * 2 ** attempt)
    }
}

/** Lets a transaction on PostgreSQL take as long as it needs, whatever the role or the database allows (from PostgreSQL 17 on). */
export async function liftTransactionTimeout(transaction: Store): Promise<void> {
  await sql`select set_config(name, '0', true) from pg_settings where name = 'transaction_timeout'`.execute(
    transaction,
  )
}

/** Whether a write failed because the database does not answer or has too much to do. */
export const isAway = (error: unknown): boolean =>
  error instanceof SandlotError && error.errorName === 'store_unavailable'

const RETRY_MS = 1_000

/**
 * Records the result of long work that is already done. Retries while the database does not answer, so that the result is
 * not lost.
 * @param work may be run more than once @throws what `work` throws for another reason, or after `timeoutMs`
 */
export async function whenStoreAnswers<T>(work: () => Promise<T>, timeoutMs = 10 * 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;)
    try {
      return await work()
    } catch (error) {
      if (!isAway(error) || performance.now() > deadline) throw error
      await sleep(RETRY_MS)
    }
}
