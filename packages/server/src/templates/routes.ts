import { ErrorSchema, Template, TemplateWithBuilds } from '@sandlot/protocol/rest'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import { checkUnpaged, clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import type { Team } from '../teams/team.ts'
import { checkTeamId } from '../teams/team-id.ts'
import { namesOf, toBuild, toDefaultTemplate, toTemplate } from './answers.ts'
import { isRecord, type Template as KnownTemplate, type TemplateRegistry } from './registry.ts'
import type { TemplateService } from './service.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const TeamId = Type.Optional(
  Type.String({ maxLength: 100, description: "The caller's own: a UUID or a project id, prj_…" }),
)
const Paged = {
  limit: Type.Optional(Type.Integer()),
  nextToken: Type.Optional(Type.String({ maxLength: 1024 })),
}
const Answer = Type.Record(Type.String(), Type.Unknown())

export interface TemplateRoutesOptions {
  templates: TemplateRegistry
  /** Descriptions of the templates that come with this server, by template name. */
  templateDescriptions: ReadonlyMap<string, string>
  templateService: TemplateService
  now: () => number
}

export function templateRoutes(
  app: App,
  { templates: registry, templateDescriptions, templateService, now }: TemplateRoutesOptions,
): void {
  const descriptionOf = ({ name }: KnownTemplate) => templateDescriptions.get(name ?? '')
  async function toAnswers(templates: KnownTemplate[], team: Team, toAnswer = toTemplate) {
    const spawns = await registry.spawns(templates)
    return templates.map((template) =>
      toAnswer(template, team, spawns.get(template.templateId), descriptionOf(template)),
    )
  }

  app.get(
    '/templates',
    {
      schema: {
        tags,
        summary: 'Templates that sandboxes can start from',
        querystring: Type.Object({ teamID: TeamId }),
        response: { 200: Type.Array(Template), ...errors },
      },
    },
    async (request) => {
      const { team } = request.caller
      checkTeamId(team, request.query.teamID)
      const templates = registry.visibleTo(team)
      checkUnpaged(templates.length, 'templates', 'GET /v2/templates')
      return toAnswers(templates, team)
    },
  )
  app.get(
    '/default-templates',
    {
      schema: {
        tags,
        summary: 'Templates that come with this server, ready or not, by id',
        response: { 200: Type.Array(Template), ...errors },
      },
    },
    async (request) => {
      const templates = registry.defaults().sort((a, b) => (a.templateId < b.templateId ? -1 : 1))
      return toAnswers(templates, request.caller.team, toDefaultTemplate)
    },
  )
  app.get(
    '/v2/templates',
    {
      schema: {
        tags,
        summary: 'Templates that sandboxes can start from, newest first',
        querystring: Type.Object({ teamID: TeamId, ...Paged }),
        response: { 200: Type.Array(Template), ...errors },
      },
    },
    async (request, reply) => {
      const { limit, nextToken: token, teamID } = request.query
      checkTeamId(request.caller.team, teamID)
      const { page, nextToken } = pageOf(
        registry.visibleTo(request.caller.team),
        ({ createdAtMs, templateId }) => ({ timeMs: createdAtMs, id: templateId }),
        { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
      )
      if (nextToken) reply.header('x-next-token', nextToken)
      return toAnswers(page, request.caller.team)
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
        ? registry.resolve(alias, team).template
        : registry.see(alias, team)
      return { templateID: template.templateId, public: template.isPublic }
    },
  )
  app.get(
    '/templates/:id',
    {
      schema: {
        tags,
        summary: 'One template with its builds, newest first',
        params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
        querystring: Type.Object(Paged),
        response: { 200: TemplateWithBuilds, ...errors },
      },
    },
    async (request, reply) => {
      const { team } = request.caller
      const { limit, nextToken: token } = request.query
      const template = registry.see(request.params.id, team)
      const { page, nextToken } = pageOf(
        template.builds,
        (build) => ({
          timeMs: isRecord(build) ? build.createdAtMs : template.createdAtMs,
          id: build.buildId,
        }),
        { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
      )
      if (nextToken) reply.header('x-next-token', nextToken)
      const [answer] = await toAnswers([template], team)
      return { ...answer!, builds: page.map((build) => toBuild(build, template)) }
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
      const template = registry.own(request.params.id, request.caller.team)
      await templateService.delete(template)
      return reply.code(204).send(null)
    },
  )
  async function changeVisibility({ params, body, caller }: FastifyRequest): Promise<KnownTemplate> {
    const template = registry.own((params as { id: string }).id, caller.team)
    const { public: isPublic } = body as { public?: boolean }
    if (isPublic !== undefined) await registry.setPublic(template, isPublic, now())
    return template
  }
  app.route({
    method: 'PATCH',
    url: '/v2/templates/:id',
    schema: visibility('Let other teams start from a template, or not any more'),
    handler: async (request) => ({
      names: namesOf(await changeVisibility(request), request.caller.team.slug),
    }),
  })
  app.route({
    method: 'PATCH',
    url: '/templates/:id',
    schema: visibility('The same for old clients'),
    handler: async (request) => {
      await changeVisibility(request)
      return {}
    },
  })
}

const visibility = (summary: string) => ({
  tags,
  summary,
  params: Type.Object({ id: Type.String({ maxLength: 256 }) }),
  body: Type.Object({ public: Type.Optional(Type.Boolean({ description: 'Absent: as it is' })) }),
  response: { 200: Answer, ...errors },
})
