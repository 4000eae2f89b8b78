import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App } from '../app/app.ts'

const Team = Type.Object({
  teamID: Type.String(),
  name: Type.String(),
  apiKey: Type.String(),
  isDefault: Type.Boolean(),
})

export function teamRoutes(app: App): void {
  app.get(
    '/teams',
    {
      schema: {
        tags: ['teams'],
        summary: 'Teams of the caller',
        response: { 200: Type.Array(Team), '4xx': ErrorSchema },
      },
    },
    async (request) => {
      const { teamId, name } = request.caller.team
      // keys are kept hashed: the only one that can be told is the one that was just sent
      const apiKey = String(
        request.headers['x-api-key'] ?? request.headers.authorization?.split(' ')[1] ?? '',
      )
      return [{ teamID: teamId, name, apiKey, isDefault: true }]
    },
  )
}
