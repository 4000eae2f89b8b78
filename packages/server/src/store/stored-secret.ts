import type { Store } from './open-store.ts'

/** What this server alone knows under `name`; `fresh` becomes it at the first start. Two that start at once agree on one. */
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
