import { SandlotError } from '@sandlot/protocol'
import { openStore } from '../store/store.ts'
import { ensureDefaultTeam } from '../teams/repository.ts'
import { ApiKeyRepository } from './repository.ts'

export interface KeySummary {
  id: string
  name: string
  /** Beginning and end of the key, e.g. `e2b_12ab…89cd`. */
  masked: string
  /** RFC 3339. */
  createdAt: string
}

/** API keys of the default team, over the database itself: a server need not run. */
export interface KeyStore {
  create(name: string): Promise<{ id: string; name: string; key: string }>
  list(): Promise<KeySummary[]>
  /** @throws SandlotError not_found */
  delete(id: string): Promise<void>
  close(): Promise<void>
}

export async function openKeyStore(databasePath: string): Promise<KeyStore> {
  const store = await openStore(databasePath)
  const { teamId } = await ensureDefaultTeam(store)
  const keys = new ApiKeyRepository(store)
  return {
    async create(name) {
      const { id, key } = await keys.create(teamId, name)
      return { id, name, key }
    },
    async list() {
      return (await keys.list(teamId)).map((key) => ({
        id: key.id,
        name: key.name,
        masked: `e2b_${key.maskedPrefix}…${key.maskedSuffix}`,
        createdAt: new Date(key.createdAtMs).toISOString(),
      }))
    },
    async delete(id) {
      if (!(await keys.delete(id, teamId)))
        throw new SandlotError('not_found', `there is no API key '${id}'; see \`sandlot keys list\``)
    },
    close: () => store.destroy(),
  }
}
