import { SandlotError } from '@sandlot/protocol'
import type { Store } from './open-store.ts'
import { isConflict } from './postgres-errors.ts'

const MAX_ATTEMPTS = 10
/** Longest wait before the second attempt; each further one may wait twice as long. */
const CONFLICT_DELAY_MS = 2

/**
 * Runs `work` in one transaction, again when PostgreSQL ended it to let a concurrent one go on: `work` must do nothing
 * that a rollback does not undo.
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
      // two that conflict would do so again if they went on at the same moment
      await new Promise((resolve) => setTimeout(resolve, Math.random() * CONFLICT_DELAY_MS * 2 ** attempt))
    }
}

const RETRY_MS = 1_000

/**
 * Writes down what was done already and took long, waiting for a database that does not answer instead of losing it.
 * @param work may be run more than once @throws what `work` throws for another reason, or after `timeoutMs`
 */
export async function whenStoreAnswers<T>(work: () => Promise<T>, timeoutMs = 10 * 60_000): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;)
    try {
      return await work()
    } catch (error) {
      const isAway = error instanceof SandlotError && error.errorName === 'store_unavailable'
      if (!isAway || performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
}
