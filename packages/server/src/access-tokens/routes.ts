import { AccessToken, CreatedAccessToken, ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { ApiKeyRepository } from '../api-keys/repository.ts'
import type { App } from '../http/app.ts'
import type { SessionService } from '../sessions/service.ts'
import type { Session } from '../sessions/session.ts'
import type { TeamLimits } from '../teams/limits.ts'

const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const tags = ['access-tokens']

export interface AccessTokenRoutesOptions {
  sessions: SessionService
  keys: ApiKeyRepository
  limits: TeamLimits
}

/** Access tokens for machines that use the CLI without a browser (`E2B_ACCESS_TOKEN`). The hosted service has none any more. */
export function accessTokenRoutes(app: App, { sessions, keys, limits }: AccessTokenRoutesOptions): void {
  app.get(
    '/access-tokens',
    {
      schema: {
        tags,
        summary: "The team's access tokens",
        response: { 200: Type.Array(AccessToken), ...errors },
      },
    },
    async (request) => (await sessions.machineTokens(request.caller.team.teamId)).map(toAnswer),
  )
  app.post(
    '/access-tokens',
    {
      schema: {
        tags,
        summary: 'Create an access token for a machine; it is shown once',
        body: Type.Object({
          name: Type.String({ minLength: 1, maxLength: 128 }),
          expiresInDays: Type.Optional(Type.Integer({ minimum: 1, maximum: 366, default: 90 })),
        }),
        response: { 201: CreatedAccessToken, ...errors },
      },
    },
    async (request, reply) => {
      const { name, expiresInDays } = request.body
      const { team } = request.caller
      limits.checkApiKeys(team, await keys.countOf(team.teamId))
      const { teamId } = team
      const { session, token } = await sessions.createMachineToken(teamId, name, expiresInDays!)
      return reply.code(201).send({ ...toAnswer(session), token })
    },
  )
  app.delete(
    '/access-tokens/:id',
    {
      schema: {
        tags,
        summary: 'End an access token and the API key that came with it',
        params: Type.Object({ id: Type.String({ maxLength: 64 }) }),
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      await sessions.deleteMachineToken(request.caller.team.teamId, request.params.id)
      return reply.code(204).send(null)
    },
  )
}

const toAnswer = ({ id, name, createdAtMs, expiresAtMs }: Session) => ({
  id,
  name,
  createdAt: new Date(createdAtMs).toISOString(),
  expiresAt: new Date(expiresAtMs).toISOString(),
})
