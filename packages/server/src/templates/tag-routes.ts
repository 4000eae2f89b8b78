import {
  ErrorSchema,
  type TagAssignment as TagAssignmentAnswer,
  TagAssignments,
  TagGroups,
  TemplateTag,
} from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import { checkTag } from './reference.ts'
import type { TemplateRegistry } from './registry.ts'
import type { TemplateService } from './service.ts'
import type { TagAssignment, TagGroup, TagHistory } from './tag-history.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const Id = Type.Object({ id: Type.String({ maxLength: 256 }) })
const Cursor = Type.Optional(Type.String({ maxLength: 1024 }))
const Limit = (maximum: number, byDefault: number) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, default: byDefault }))
const Sort = Type.Union([
  Type.Literal('latest_desc'),
  Type.Literal('latest_asc'),
  Type.Literal('name_asc'),
  Type.Literal('name_desc'),
])
const Tags = Type.Array(Type.String({ maxLength: 128 }), { minItems: 1, maxItems: 100 })

export interface TagRoutesOptions {
  templates: TemplateRegistry
  templateService: TemplateService
  tagHistory: TagHistory
}

/** Tags name builds of a template: `name:tag`. */
export function tagRoutes(app: App, { templates, templateService, tagHistory }: TagRoutesOptions): void {
  app.post(
    '/templates/tags',
    {
      schema: {
        tags,
        summary: 'Give more tags to the build that has one',
        body: Type.Object({ target: Type.String({ maxLength: 256 }), tags: Tags }),
        response: {
          201: Type.Object({ tags: Type.Array(Type.String()), buildID: Type.String() }),
          ...errors,
        },
      },
    },
    async (request, reply) => {
      const { team } = request.caller
      const { target, tags: wanted } = request.body
      const { buildId, tags: added } = await templateService.assignTags(team, target, wanted)
      return reply.code(201).send({ tags: added, buildID: buildId })
    },
  )
  app.delete(
    '/templates/tags',
    {
      schema: {
        tags,
        summary: 'Take tags away; their builds stay',
        body: Type.Object({ name: Type.String({ maxLength: 256 }), tags: Tags }),
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const { name, tags: removed } = request.body
      await templateService.removeTags(request.caller.team, name, removed)
      return reply.code(204).send(null)
    },
  )
  app.get(
    '/templates/:id/tags',
    {
      schema: {
        tags,
        summary: 'Tags of a template',
        params: Id,
        response: { 200: Type.Array(TemplateTag), ...errors },
      },
    },
    async (request) => {
      const template = templates.own(request.params.id, request.caller.team)
      return (await templates.tagsOf(template)).map(({ tag, buildId, createdAtMs }) => ({
        tag,
        buildID: buildId,
        createdAt: new Date(createdAtMs).toISOString(),
      }))
    },
  )
  tagHistoryRoutes(app, templates, tagHistory)
}

/** What dashboards show of tags: only builds that are ready, and others' templates are unknown (404). */
function tagHistoryRoutes(app: App, templates: TemplateRegistry, tagHistory: TagHistory): void {
  app.get(
    '/templates/:id/tags/count',
    {
      schema: {
        tags,
        summary: 'How many tags a template has',
        params: Id,
        response: { 200: Type.Object({ total: Type.Integer() }), ...errors },
      },
    },
    async (request) => ({
      total: templates.ownOrUnknown(request.params.id, request.caller.team).tags.size,
    }),
  )
  app.get(
    '/templates/:id/tags/exists',
    {
      schema: {
        tags,
        summary: 'Does a template have this tag?',
        params: Id,
        querystring: Type.Object({ tag: Type.String({ maxLength: 128 }) }),
        response: {
          200: Type.Object({ exists: Type.Boolean(), normalizedTag: Type.String() }),
          ...errors,
        },
      },
    },
    async (request) => {
      const template = templates.ownOrUnknown(request.params.id, request.caller.team)
      const normalizedTag = checkTag(request.query.tag.trim().toLowerCase())
      return { exists: template.tags.has(normalizedTag), normalizedTag }
    },
  )
  app.get(
    '/templates/:id/tags/groups',
    {
      schema: {
        tags,
        summary: 'Tags of a template, each with the builds that it was on lately',
        params: Id,
        querystring: Type.Object({
          assignmentLimit: Limit(25, 6),
          tagsLimit: Limit(100, 25),
          tagsCursor: Cursor,
          search: Type.Optional(
            Type.String({ maxLength: 64, pattern: '^[a-z0-9._-]*$', description: 'Part of the tag' }),
          ),
          sort: Type.Optional(Sort),
        }),
        response: { 200: TagGroups, ...errors },
      },
    },
    async (request) => {
      const { templateId } = templates.ownOrUnknown(request.params.id, request.caller.team)
      const { assignmentLimit = 6, tagsLimit = 25, tagsCursor, search, sort = 'latest_desc' } = request.query
      const options = { sort, tagsLimit, assignmentLimit, search, cursor: tagsCursor }
      const { items, nextCursor } = await tagHistory.groups(templateId, options)
      const toGroup = ({ tag, assignments, hasMore }: TagGroup) => ({
        tag,
        assignments: assignments.map(toAssignment),
        hasMore,
      })
      return { tags: items.map(toGroup), nextCursor }
    },
  )
  app.get(
    '/templates/:id/tags/:tag/assignments',
    {
      schema: {
        tags,
        summary: 'Builds that a tag was on, newest first',
        params: Type.Object({ id: Type.String({ maxLength: 256 }), tag: Type.String({ maxLength: 128 }) }),
        querystring: Type.Object({ cursor: Cursor, limit: Limit(100, 50) }),
        response: { 200: TagAssignments, ...errors },
      },
    },
    async (request) => {
      const { templateId } = templates.ownOrUnknown(request.params.id, request.caller.team)
      const tag = checkTag(request.params.tag.trim().toLowerCase())
      const { limit = 50, cursor } = request.query
      const { items, nextCursor } = await tagHistory.assignments(templateId, tag, { limit, cursor })
      return { data: items.map(toAssignment), nextCursor }
    },
  )
}

const toAssignment = (assignment: TagAssignment): TagAssignmentAnswer => ({
  assignmentId: assignment.assignmentId,
  buildId: assignment.buildId,
  assignedAt: new Date(assignment.assignedAtMs).toISOString(),
  buildCreatedAt: new Date(assignment.buildCreatedAtMs).toISOString(),
  buildFinishedAt:
    assignment.buildFinishedAtMs === null ? null : new Date(assignment.buildFinishedAtMs).toISOString(),
})
