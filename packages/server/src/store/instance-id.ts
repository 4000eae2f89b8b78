import { randomUUID } from 'node:crypto'
import type { Store } from './open-store.ts'
import { storedSecret } from './stored-secret.ts'

/** What tells this home from all others, whatever machine it is on; made at the first start. */
export const openInstanceId = (store: Store): Promise<string> => storedSecret(store, 'instance', randomUUID())
