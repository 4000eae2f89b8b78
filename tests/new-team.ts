import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { ApiKeyRepository } from '@sandlot/server/api-keys/repository'
import { openStore } from '@sandlot/server/store/open-store'
import type { ServerInfo } from './server.ts'

/** Makes a team with a plan that limits only this, in the SQLite database of a running server. @returns its API key */
export async function newTeam(
  { home }: Pick<ServerInfo, 'home'>,
  plan: { creates_per_second?: number; diffs?: number },
): Promise<string> {
  const name = `team-${randomUUID()}`
  const store = await openStore(`sqlite:${join(home, 'db.sqlite')}`)
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
