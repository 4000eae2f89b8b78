import { createAccessToken, deleteAccessToken, listAccessTokens } from '@sandlot/protocol/rest'
import type { ApiKeyRepository } from '../api-keys/repository.ts'
import type { App, Handler } from '../http/app.ts'
import type { SessionService } from '../sessions/service.ts'
import type { Session } from '../sessions/session.ts'
import type { TeamLimits } from '../teams/limits.ts'

export interface AccessTokenRoutesOptions {
  sessions: SessionService
  keys: ApiKeyRepository
  limits: TeamLimits
}

/**
 * Access tokens for machines that use the CLI without a browser: `E2B_ACCESS_TOKEN`. An addition of Sandlot: the hosted
 * service no longer has access tokens. They follow the rules of sessions, in `sessions/service.ts`.
 */
export function accessTokenRoutes(app: App, options: AccessTokenRoutesOptions): void {
  app.get('/access-tokens', { schema: listAccessTokens }, list(options))
  app.post('/access-tokens', { schema: createAccessToken }, create(options))
  app.delete('/access-tokens/:accessTokenID', { schema: deleteAccessToken }, remove(options))
}

const list =
  ({ sessions }: AccessTokenRoutesOptions): Handler<typeof listAccessTokens> =>
  async (request) =>
    (await sessions.machineTokens(request.caller.team.teamId)).map(toAnswer)

const create =
  ({ sessions, keys, limits }: AccessTokenRoutesOptions): Handler<typeof createAccessToken> =>
  async (request, reply) => {
    const { name, expiresInDays } = request.body
    const { team } = request.caller
    limits.checkApiKeys(team, await keys.countOf(team.teamId))
    const { session, token } = await sessions.createMachineToken(team.teamId, name, expiresInDays!)
    return reply.code(201).send({ ...toAnswer(session), token })
  }

const remove =
  ({ sessions }: AccessTokenRoutesOptions): Handler<typeof deleteAccessToken> =>
  async (request, reply) => {
    await sessions.deleteMachineToken(request.caller.team.teamId, request.params.accessTokenID)
    return reply.code(204).send(null)
  }

const toAnswer = ({ id, name, createdAtMs, expiresAtMs }: Session) => ({
  id,
  name,
  createdAt: new Date(createdAtMs).toISOString(),
  expiresAt: new Date(expiresAtMs).toISOString(),
})
