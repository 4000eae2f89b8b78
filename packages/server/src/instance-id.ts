import { randomUUID } from 'node:crypto'
import type { Store } from './store/store.ts'

const NAME = 'instance'

/** What tells this home from all others, whatever machine it is on; made at the first start. */
export async function openInstanceId(store: Store): Promise<string> {
  await store
    .insertInto('server_secrets')
    .values({ name: NAME, value: randomUUID() })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute()
  const { value } = await store
    .selectFrom('server_secrets')
    .select('value')
    .where('name', '=', NAME)
    .executeTakeFirstOrThrow()
  return value
}
