import type { Store } from './open-store.ts'

/** Reads a secret of this server, and stores `fresh` as the secret at the first start. Concurrent processes agree on one. */
export async function storedSecret(store: Store, name: string, fresh: string): Promise<string> {
  await store
    .insertInto('server_secrets')
    .values({ name, value: fresh })
    .onConflict((conflict) => conflict.column('name').doNothing())
    .execute()
  const { value } = await store
    .selectFrom('server_secrets')
    .select('value')
    .where('name', '=', name)
    .executeTakeFirstOrThrow()
  return value
}
