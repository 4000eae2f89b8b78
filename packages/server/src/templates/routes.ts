import type { BuildInfo } from '@sandlot/node'
import { ENVD_VERSION } from '@sandlot/protocol'
import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App, Services } from '../app/app.ts'
import { clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import { CATALOG_TEAM_ID, DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import { isRecord, type Template } from './catalogue.ts'
import type { BuildRecord } from './repository.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const Answer = Type.Record(Type.String(), Type.Unknown())

export function templateRoutes(app: App, { catalogue, sandboxes, templateBuilder, now }: Services): void {
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
      const { alias } = request.params
      const { team } = request.caller
      const template = alias.includes(':')
        ? catalogue.resolve(alias, team).template
        : catalogue.see(alias, team)
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
      const template = catalogue.see(request.params.id, request.caller.team)
      const {
        buildID: _,
        buildStatus: __,
        ...rest
      } = toAnswer(template, request.caller.team.slug, (await catalogue.spawns()).get(template.templateId))
      const builds = [...template.builds].reverse().map((build) => ({
        buildID: build.buildId,
        ...timesOf(build, template),
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
        summary: 'Delete a template or a snapshot',
        params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const template = catalogue.own(request.params.id, request.caller.team)
      await templateBuilder.discard(template, () => sandboxes.copies.deleteTemplate(template))
      return reply.code(204).send(null)
    },
  )
  app.route({
    method: 'PATCH',
    url: '/v2/templates/:id',
    schema: visibility('Let other teams start from a template, or not any more'),
    handler: async (request) => {
      const { id } = request.params as { id: string }
      const { public: isPublic } = request.body as { public: boolean }
      const template = catalogue.own(id, request.caller.team)
      await catalogue.setPublic(template, isPublic, now())
      return { names: namesOf(template, request.caller.team.slug) }
    },
  })
  app.route({
    method: 'PATCH',
    url: '/templates/:id',
    schema: visibility('The same for old clients'),
    handler: async (request) => {
      const { id } = request.params as { id: string }
      const { public: isPublic } = request.body as { public: boolean }
      await catalogue.setPublic(catalogue.own(id, request.caller.team), isPublic, now())
      return {}
    },
  })
}

const visibility = (summary: string) => ({
  tags,
  summary,
  params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
  body: Type.Object({ public: Type.Boolean() }),
  response: { 200: Answer, ...errors },
})

const namesOf = ({ name, teamId }: Template, slug: string): string[] =>
  name === null ? [] : [`${teamId === null || teamId === CATALOG_TEAM_ID ? DEFAULT_TEAM_SLUG : slug}/${name}`]

function timesOf(build: BuildInfo | BuildRecord, { createdAtMs, updatedAtMs }: Template) {
  const times = isRecord(build)
    ? build
    : { status: 'ready', createdAtMs, updatedAtMs, finishedAtMs: updatedAtMs }
  return {
    status: times.status,
    createdAt: new Date(times.createdAtMs).toISOString(),
    updatedAt: new Date(times.updatedAtMs).toISOString(),
    finishedAt: times.finishedAtMs ? new Date(times.finishedAtMs).toISOString() : undefined,
  }
}

function toAnswer(template: Template, slug: string, spawns?: { count: number; lastAtMs: number | null }) {
  const { templateId, name, isPublic, createdAtMs, updatedAtMs, builds } = template
  const build = builds.at(-1)!
  return {
    templateID: templateId,
    buildID: build.buildId,
    cpuCount: build.cpuCount,
    memoryMB: build.memoryMB,
    diskSizeMB: build.diskSizeMB,
    public: isPublic,
    aliases: name === null ? [] : [name],
    names: namesOf(template, slug),
    createdAt: new Date(createdAtMs).toISOString(),
    updatedAt: new Date(updatedAtMs).toISOString(),
    createdBy: null,
    lastSpawnedAt: spawns?.lastAtMs ? new Date(spawns.lastAtMs).toISOString() : null,
    spawnCount: spawns?.count ?? 0,
    buildCount: builds.length,
    envdVersion: ENVD_VERSION,
    buildStatus: isRecord(build) ? build.status : 'ready',
  }
}
