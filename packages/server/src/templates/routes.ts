import { ENVD_VERSION, SandlotError } from '@sandlot/protocol'
import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App, Services } from '../app/app.ts'
import { clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import type { Template } from './catalogue.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const Answer = Type.Record(Type.String(), Type.Unknown())

export function templateRoutes(app: App, { catalogue }: Services): void {
  app.get(
    '/templates',
    {
      schema: {
        tags,
        summary: 'Templates that sandboxes can start from',
        response: { 200: Type.Array(Answer), ...errors },
      },
    },
    async () => {
      const spawns = await catalogue.spawns()
      return catalogue.all().map((template) => toAnswer(template, spawns.get(template.templateId)))
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
        catalogue.all(),
        ({ createdAtMs, templateId }) => ({ timeMs: createdAtMs, id: templateId }),
        { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
      )
      if (nextToken) reply.header('x-next-token', nextToken)
      const spawns = await catalogue.spawns()
      return page.map((template) => toAnswer(template, spawns.get(template.templateId)))
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
      const { templateId } = catalogue.resolve(request.params.alias, request.caller.team)
      return { templateID: templateId, public: true }
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
      const template = catalogue.resolve(request.params.id, request.caller.team)
      const { buildID, cpuCount, memoryMB, diskSizeMB, envdVersion, createdAt, updatedAt, ...rest } =
        toAnswer(template, (await catalogue.spawns()).get(template.templateId))
      const build = {
        buildID,
        status: 'ready',
        createdAt,
        updatedAt,
        finishedAt: updatedAt,
        cpuCount,
        memoryMB,
        diskSizeMB,
        envdVersion,
      }
      return { ...rest, createdAt, updatedAt, builds: [build] }
    },
  )
  app.route({
    method: ['POST', 'PATCH', 'DELETE'],
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

function toAnswer(
  { templateId, name, createdAtMs, build }: Template,
  spawns?: { count: number; lastAtMs: number | null },
) {
  const createdAt = new Date(createdAtMs).toISOString()
  return {
    templateID: templateId,
    buildID: build.buildId,
    cpuCount: build.cpuCount,
    memoryMB: build.memoryMB,
    diskSizeMB: build.diskSizeMB,
    public: true,
    aliases: [name],
    names: [`default/${name}`],
    createdAt,
    updatedAt: createdAt,
    createdBy: null,
    lastSpawnedAt: spawns?.lastAtMs ? new Date(spawns.lastAtMs).toISOString() : null,
    spawnCount: spawns?.count ?? 0,
    buildCount: 1,
    envdVersion: ENVD_VERSION,
    buildStatus: 'ready',
  }
}
