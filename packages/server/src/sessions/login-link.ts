import { randomBytes } from 'node:crypto'
import { openStore } from '../store/open-store.ts'
import { ensureDefaultTeam } from '../teams/repository.ts'
import { SessionRepository } from './repository.ts'

const LOGIN_LINK_MS = 10 * 60_000

/**
 * Makes a link that signs one browser in as the administrator, once, within ten minutes. Writes to the database; a
 * process that can do so needs no other authorisation.
 * @param domain of the server, with its port
 */
export async function createLoginLink(storeUrl: string, domain: string): Promise<string> {
  const store = await openStore(storeUrl)
  try {
    const { teamId } = await ensureDefaultTeam(store)
    const token = randomBytes(32).toString('base64url')
    await new SessionRepository(store).addLoginLink(token, teamId, Date.now() + LOGIN_LINK_MS)
    return `https://${domain}/docs/sign-in?token=${token}`
  } finally {
    await store.destroy()
  }
}
