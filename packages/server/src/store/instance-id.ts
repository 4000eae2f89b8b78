import { randomUUID } from 'node:crypto'
import type { Store } from './open-store.ts'
import { storedSecret } from './stored-secret.ts'

/** Id of this home, on whatever machine it is; made at the first start. */
export const openInstanceId = (store: Store): Promise<string> => storedSecret(store, 'instance', randomUUID())
