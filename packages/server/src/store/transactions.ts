import type { Store } from './open-store.ts'
import { isConflict } from './postgres-errors.ts'

const MAX_ATTEMPTS = 5

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
    }
}
