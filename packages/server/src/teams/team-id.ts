import { SandlotError } from '@sandlot/protocol'
import type { Team } from './team.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const PROJECT_ID = /^prj_[0-9a-z]{1,64}$/

/** The project id of a team, which some clients send instead of the UUID: `prj_` and the UUID without dashes. */
export const projectIdOf = ({ teamId }: Pick<Team, 'teamId'>): string => `prj_${teamId.replaceAll('-', '')}`

/**
 * Checks a `teamID` parameter, which may only name the caller's own team.
 * @throws SandlotError invalid_request, forbidden
 */
export function checkTeamId(team: Team, teamId: string | undefined): void {
  if (teamId === undefined) return
  if (!UUID.test(teamId) && !PROJECT_ID.test(teamId))
    throw new SandlotError(
      'invalid_request',
      `teamID '${teamId.slice(0, 100)}' is neither a UUID nor a project id like '${projectIdOf(team)}'`,
    )
  if (teamId.toLowerCase() !== team.teamId && teamId !== projectIdOf(team))
    throw new SandlotError('forbidden', `you are not in team '${teamId}'; GET /teams lists yours`)
}
