import { Failure, formatApiError } from '../failure.ts'
import { apiUrl } from './servers.ts'

const REQUEST_TIMEOUT_MS = 30_000

export interface Team {
  teamID: string
  name: string
  apiKey: string
  isDefault: boolean
}

/** Lists the projects of the user of `accessToken`, each with its API key. */
export async function listTeams(accessToken: string): Promise<Team[]> {
  const answer = await fetch(`${apiUrl()}/teams`, {
    headers: { Authorization: `Bearer ${accessToken}`, Accept: 'application/json' },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  })
  const body: unknown = await answer.json().catch(() => undefined)
  if (!answer.ok) {
    const { message = 'no message' } = (body ?? {}) as { message?: string }
    const advice = answer.status === 401 ? '. Check E2B_ACCESS_TOKEN, or run `e2b auth login`.' : ''
    throw new Failure(formatApiError(answer.status, message) + advice)
  }
  if (!Array.isArray(body)) throw new Failure(`${apiUrl()}/teams did not answer with a list.`)
  return body as Team[]
}

/** @throws Failure when no project can be used */
export function defaultTeam(teams: readonly Team[]): Team {
  const team = teams.find((each) => each.isDefault) ?? teams[0]
  if (!team)
    throw new Failure(
      'This account belongs to no project. Ask an administrator to add the account to a project.',
    )
  return team
}
