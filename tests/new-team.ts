import { randomUUID } from 'node:crypto'
import { ApiKeyRepository } from '@sandlot/server/api-keys/repository'
import { openStore } from '@sandlot/server/store/open-store'
import type { ServerInfo } from './server.ts'

/** Makes a team with a plan that limits only this, in the database of a running server. @returns its API key */
export async function newTeam(
  server: Pick<ServerInfo, 'store'>,
  plan: { creates_per_second?: number; diffs?: number },
): Promise<string> {
  const name = `team-${randomUUID()}`
  const store = await openStore(server.store)
  try {
    await store
      .insertInto('plans')
      .values({ name, ...plan })
      .execute()
    await store
      .insertInto('teams')
      .values({ id: name, name, slug: name, plan: name, created_at: Date.now() })
      .execute()
    return (await new ApiKeyRepository(store).create(name, 'test')).key
  } finally {
    await store.destroy()
  }
}
