import { listTeams } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { SessionService } from '../sessions/service.ts'
import { projectIdOf } from './team-id.ts'

export interface TeamRoutesOptions {
  sessions: SessionService
}

/** Lists the team of the caller. There are no rules, as each key and each session belongs to one team. */
export function teamRoutes(app: App, options: TeamRoutesOptions): void {
  app.get('/teams', { schema: listTeams }, list(options))
}

const list =
  ({ sessions }: TeamRoutesOptions): Handler<typeof listTeams> =>
  async (request) => {
    const { team, credential } = request.caller
    const { teamId, name } = team
    const apiKey = credential.kind === 'key' ? credential.key : sessions.apiKeyOf(credential.id, teamId)
    return [{ teamID: teamId, projectID: projectIdOf(team), name, apiKey, isDefault: true }]
  }
