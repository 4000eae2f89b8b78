import { isApiKey, SandlotError } from '@sandlot/protocol'
import { openStore } from '../store/open-store.ts'
import { ensureCatalogTeam, ensureDefaultTeam } from '../teams/repository.ts'
import { ApiKeyRepository } from './repository.ts'

const MIN_REFERENCE = 4

export interface KeySummary {
  id: string
  name: string
  /** Prefix and suffix of the key, such as `e2b_12ab…89cd`. */
  masked: string
  /** RFC 3339. */
  createdAt: string
}

/** API keys of the default team. Works on the database, so no server needs to run. */
export interface KeyStore {
  create(name: string): Promise<{ id: string; name: string; key: string }>
  list(): Promise<KeySummary[]>
  /** @param reference an id, the key itself, or the beginning of either. @throws SandlotError not_found, conflict */
  delete(reference: string): Promise<void>
  close(): Promise<void>
}

export async function openKeyStore(storeUrl: string): Promise<KeyStore> {
  const store = await openStore(storeUrl)
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
    async delete(reference) {
      const owner = isApiKey(reference) ? await keys.findOwner(reference) : undefined
      const found = (await keys.list(teamId)).filter(({ id, maskedPrefix }) =>
        owner ? id === owner.keyId : isReferenceTo(reference, id, `e2b_${maskedPrefix}`),
      )
      if (found.length > 1)
        throw new SandlotError(
          'conflict',
          `'${reference}' could be ${found.map(({ id, name }) => `${id} (${name})`).join(' or ')}: give more characters of the id`,
        )
      if (!found[0] || !(await keys.delete(found[0].id, teamId)))
        throw new SandlotError(
          'not_found',
          `there is no API key '${masked(reference)}'; see \`sandlot keys list\``,
        )
    },
    close: () => store.destroy(),
  }
}

/**
 * Runs `work` with a key of the team that owns the catalog, and deletes the key afterwards. Opens the database, which the
 * calling process must be allowed to do.
 */
export async function withCatalogKey<T>(storeUrl: string, work: (key: string) => Promise<T>): Promise<T> {
  const store = await openStore(storeUrl)
  try {
    const { teamId } = await ensureCatalogTeam(store)
    const keys = new ApiKeyRepository(store)
    const { id, key } = await keys.create(teamId, 'sandlot templates')
    try {
      return await work(key)
    } finally {
      await keys.delete(id, teamId)
    }
  } finally {
    await store.destroy()
  }
}

/** Listed prefixes have four characters after `e2b_`; a shorter reference is ambiguous. */
const isReferenceTo = (reference: string, id: string, keyPrefix: string): boolean =>
  reference.length >= MIN_REFERENCE && (id.startsWith(reference) || keyPrefix === reference)

/** Hides a mistyped key, which must not be printed to a terminal. */
const masked = (reference: string): string =>
  reference.startsWith('e2b_') && reference.length > 8 ? `${reference.slice(0, 8)}…` : reference
