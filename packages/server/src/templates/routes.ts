import { ENVD_VERSION, SandlotError } from '@sandlot/protocol'
import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App, Services } from '../app/app.ts'
import { clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import { DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import type { Template } from './catalogue.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const Answer = Type.Record(Type.String(), Type.Unknown())

export function templateRoutes(app: App, { catalogue, sandboxes }: Services): void {
  app.get(
    '/templates',
    {
      schema: {
        tags,
        summary: 'Templates that sandboxes can start from',
        response: { 200: Type.Array(Answer), ...errors },
      },
    },
    async (request) => {
      const spawns = await catalogue.spawns()
      return catalogue
        .visibleTo(request.caller.team)
        .map((template) => toAnswer(template, request.caller.team.slug, spawns.get(template.templateId)))
    },
  )
  app.get(
    '/v2/templates',
    {
      schema: {
        tags,
        summary: 'Templates that sandboxes can start from, newest first',
        querystring: Type.Object({
          limit: Type.Optional(Type.Integer()),
          nextToken: Type.Optional(Type.String({ maxLength: 1024 })),
        }),
        response: { 200: Type.Array(Answer), ...errors },
      },
    },
    async (request, reply) => {
      const { limit, nextToken: token } = request.query
      const { page, nextToken } = pageOf(
        catalogue.visibleTo(request.caller.team),
        ({ createdAtMs, templateId }) => ({ timeMs: createdAtMs, id: templateId }),
        { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
      )
      if (nextToken) reply.header('x-next-token', nextToken)
      const spawns = await catalogue.spawns()
      return page.map((template) =>
        toAnswer(template, request.caller.team.slug, spawns.get(template.templateId)),
      )
    },
  )
  app.get(
    '/templates/aliases/:alias',
    {
      schema: {
        tags,
        summary: 'Does a template of this name exist?',
        params: Type.Object({ alias: Type.String({ maxLength: 256 }) }),
        response: { 200: Answer, ...errors },
      },
    },
    async (request) => {
      const { template } = catalogue.resolve(request.params.alias, request.caller.team)
      return { templateID: template.templateId, public: template.isPublic }
    },
  )
  app.get(
    '/templates/:id',
    {
      schema: {
        tags,
        summary: 'One template with its builds',
        params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
        response: { 200: Answer, ...errors },
      },
    },
    async (request) => {
      const { template } = catalogue.resolve(request.params.id, request.caller.team)
      const {
        buildID: _,
        buildStatus,
        ...rest
      } = toAnswer(template, request.caller.team.slug, (await catalogue.spawns()).get(template.templateId))
      const builds = [...template.builds].reverse().map((build) => ({
        buildID: build.buildId,
        status: buildStatus,
        createdAt: rest.createdAt,
        updatedAt: rest.updatedAt,
        finishedAt: rest.updatedAt,
        cpuCount: build.cpuCount,
        memoryMB: build.memoryMB,
        diskSizeMB: build.diskSizeMB,
        envdVersion: ENVD_VERSION,
      }))
      return { ...rest, builds }
    },
  )
  app.delete(
    '/templates/:id',
    {
      schema: {
        tags,
        summary: 'Delete a snapshot',
        params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const { template } = catalogue.resolve(request.params.id, request.caller.team)
      if (template.teamId !== request.caller.team.teamId)
        throw new SandlotError('forbidden', `template '${request.params.id}' is not this team's to delete`)
      await sandboxes.history.deleteSnapshot(template)
      return reply.code(204).send(null)
    },
  )
  app.route({
    method: ['POST', 'PATCH'],
    url: '/templates/*',
    schema: { hide: true },
    handler: async () => {
      throw new SandlotError(
        'not_implemented',
        'building and changing templates is not part of this version of Sandlot yet',
      )
    },
  })
  app.post('/v3/templates', { schema: { hide: true } }, async () => {
    throw new SandlotError('not_implemented', 'building templates is not part of this version of Sandlot yet')
  })
}

function toAnswer(template: Template, slug: string, spawns?: { count: number; lastAtMs: number | null }) {
  const { templateId, teamId, name, isPublic, createdAtMs, updatedAtMs, builds } = template
  const build = builds.at(-1)!
  return {
    templateID: templateId,
    buildID: build.buildId,
    cpuCount: build.cpuCount,
    memoryMB: build.memoryMB,
    diskSizeMB: build.diskSizeMB,
    public: isPublic,
    aliases: name === null ? [] : [name],
    names: name === null ? [] : [`${teamId === null ? DEFAULT_TEAM_SLUG : slug}/${name}`],
    createdAt: new Date(createdAtMs).toISOString(),
    updatedAt: new Date(updatedAtMs).toISOString(),
    createdBy: null,
    lastSpawnedAt: spawns?.lastAtMs ? new Date(spawns.lastAtMs).toISOString() : null,
    spawnCount: spawns?.count ?? 0,
    buildCount: builds.length,
    envdVersion: ENVD_VERSION,
    buildStatus: 'ready',
  }
}
