import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import type { SessionService } from '../sessions/service.ts'
import { projectIdOf } from './team-id.ts'

const Team = Type.Object({
  teamID: Type.String(),
  projectID: Type.String({ description: 'The same in another form, for every teamID parameter' }),
  name: Type.String(),
  apiKey: Type.String(),
  isDefault: Type.Boolean(),
})

export interface TeamRoutesOptions {
  sessions: SessionService
}

export function teamRoutes(app: App, { sessions }: TeamRoutesOptions): void {
  app.get(
    '/teams',
    {
      schema: {
        tags: ['teams'],
        summary: 'Teams of the caller, each with an API key: the one that was sent, or that of the sign-in',
        response: { 200: Type.Array(Team), '4xx': ErrorSchema },
      },
    },
    async (request) => {
      const { team, credential } = request.caller
      const { teamId, name } = team
      const apiKey = credential.kind === 'key' ? credential.key : sessions.apiKeyOf(credential.id, teamId)
      return [{ teamID: teamId, projectID: projectIdOf(team), name, apiKey, isDefault: true }]
    },
  )
}
