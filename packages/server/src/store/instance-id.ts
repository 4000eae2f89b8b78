import { randomUUID } from 'node:crypto'
import type { Store } from './open-store.ts'
import { storedSecret } from './stored-secret.ts'

/** Returns the id of this database, which is created at the first start and moves with the database. */
export const openInstanceId = (store: Store): Promise<string> => storedSecret(store, 'instance', randomUUID())
