import Type from 'typebox'
import type { Operation } from './operation.ts'

const Team = Type.Object(
  {
    teamID: Type.String({ format: 'uuid' }),
    projectID: Type.String({ description: 'Another form of teamID, which every teamID parameter accepts' }),
    name: Type.String(),
    apiKey: Type.String({
      description: 'The key of the request, or the one that belongs to its access token',
    }),
    isDefault: Type.Boolean(),
  },
  { title: 'Team' },
)

export const listTeams = {
  operationId: 'listTeams',
  tags: ['teams'],
  summary: 'List the teams of the caller, each with an API key',
  response: { 200: Type.Array(Team) },
  errors: [],
} satisfies Operation
