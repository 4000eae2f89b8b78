import { SandlotError } from '@sandlot/protocol'
import { CreatedTeamApiKey, ErrorSchema, TeamApiKey } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { Authenticator } from '../auth/authenticate.ts'
import type { App } from '../http/app.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { ApiKey, ApiKeyRepository } from './repository.ts'

const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const tags = ['api-keys']
const Id = Type.Object({ id: Type.String({ maxLength: 64 }) })
const Name = Type.Object({ name: Type.String({ minLength: 1, maxLength: 128 }) })

export interface ApiKeyRoutesOptions {
  keys: ApiKeyRepository
  authenticator: Authenticator
  limits: TeamLimits
}

export function apiKeyRoutes(app: App, { keys, authenticator, limits }: ApiKeyRoutesOptions): void {
  app.get(
    '/api-keys',
    {
      schema: { tags, summary: "The team's API keys", response: { 200: Type.Array(TeamApiKey), ...errors } },
    },
    async (request) => (await keys.list(request.caller.team.teamId)).map(toAnswer),
  )
  app.post(
    '/api-keys',
    {
      schema: {
        tags,
        summary: 'Create an API key',
        body: Name,
        response: { 201: CreatedTeamApiKey, ...errors },
      },
    },
    async (request, reply) => {
      const { team } = request.caller
      limits.checkApiKeys(team, await keys.countOf(team.teamId))
      const created = await keys.create(team.teamId, request.body.name)
      return reply.code(201).send({ ...toAnswer(created), key: created.key })
    },
  )
  app.patch(
    '/api-keys/:id',
    {
      schema: {
        tags,
        summary: 'Rename an API key',
        params: Id,
        body: Name,
        response: { 200: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      if (!(await keys.rename(request.caller.team.teamId, request.params.id, request.body.name)))
        throw unknownKey(request.params.id)
      return reply.code(200).send(null)
    },
  )
  app.delete(
    '/api-keys/:id',
    { schema: { tags, summary: 'Delete an API key', params: Id, response: { 204: Type.Null(), ...errors } } },
    async (request, reply) => {
      if (!(await keys.delete(request.params.id, request.caller.team.teamId)))
        throw unknownKey(request.params.id)
      authenticator.forget()
      return reply.code(204).send(null)
    },
  )
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
