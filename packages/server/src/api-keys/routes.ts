import { SandlotError } from '@sandlot/protocol'
import { createApiKey, deleteApiKey, listApiKeys, renameApiKey } from '@sandlot/protocol/rest'
import type { Authenticator } from '../auth/authenticate.ts'
import type { App, Handler } from '../http/app.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { ApiKey, ApiKeyRepository } from './repository.ts'

export interface ApiKeyRoutesOptions {
  keys: ApiKeyRepository
  authenticator: Authenticator
  limits: TeamLimits
}

/** API keys of a team. The only rule is the limit on their number, so the routes use the repository directly. */
export function apiKeyRoutes(app: App, options: ApiKeyRoutesOptions): void {
  app.get('/api-keys', { schema: listApiKeys }, list(options))
  app.post('/api-keys', { schema: createApiKey }, create(options))
  app.patch('/api-keys/:apiKeyID', { schema: renameApiKey }, rename(options))
  app.delete('/api-keys/:apiKeyID', { schema: deleteApiKey }, remove(options))
}

const list =
  ({ keys }: ApiKeyRoutesOptions): Handler<typeof listApiKeys> =>
  async (request) =>
    (await keys.list(request.caller.team.teamId)).map(toAnswer)

const create =
  ({ keys, limits }: ApiKeyRoutesOptions): Handler<typeof createApiKey> =>
  async (request, reply) => {
    const { team } = request.caller
    limits.checkApiKeys(team, await keys.countOf(team.teamId))
    const created = await keys.create(team.teamId, request.body.name)
    return reply.code(201).send({ ...toAnswer(created), key: created.key })
  }

const rename =
  ({ keys }: ApiKeyRoutesOptions): Handler<typeof renameApiKey> =>
  async (request, reply) => {
    const { apiKeyID } = request.params
    if (!(await keys.rename(request.caller.team.teamId, apiKeyID, request.body.name)))
      throw unknownKey(apiKeyID)
    return reply.code(200).send(null)
  }

const remove =
  ({ keys, authenticator }: ApiKeyRoutesOptions): Handler<typeof deleteApiKey> =>
  async (request, reply) => {
    const { apiKeyID } = request.params
    if (!(await keys.delete(apiKeyID, request.caller.team.teamId))) throw unknownKey(apiKeyID)
    authenticator.forget()
    return reply.code(204).send(null)
  }

const unknownKey = (id: string) =>
  new SandlotError('not_found', `API key '${id}' does not exist in this team`)

const toAnswer = (key: ApiKey) => ({
  id: key.id,
  name: key.name,
  mask: {
    prefix: 'e2b_',
    valueLength: 40,
    maskedValuePrefix: key.maskedPrefix,
    maskedValueSuffix: key.maskedSuffix,
  },
  createdAt: new Date(key.createdAtMs).toISOString(),
  lastUsed: key.lastUsedAtMs === null ? null : new Date(key.lastUsedAtMs).toISOString(),
})
