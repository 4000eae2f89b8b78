import {
  assignTags,
  checkTag as checkTagOperation,
  countTags,
  deleteTags,
  listTagAssignments,
  listTagGroups,
  listTags,
  type TemplateTagAssignment,
} from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { checkTag } from './reference.ts'
import type { TemplateRegistry } from './registry.ts'
import type { TemplateService } from './service.ts'
import type { TagAssignment, TagGroup, TagHistory } from './tag-history.ts'

export interface TagRoutesOptions {
  templates: TemplateRegistry
  templateService: TemplateService
  tagHistory: TagHistory
}

/** Tags name builds of a template: `name:tag`. */
export function tagRoutes(app: App, options: TagRoutesOptions): void {
  app.post('/templates/tags', { schema: assignTags }, assign(options))
  app.delete('/templates/tags', { schema: deleteTags }, remove(options))
  app.get('/templates/:templateID/tags', { schema: listTags }, list(options))
  // for dashboards: these routes show only builds that are ready, and answer 404 for templates of other teams
  app.get('/templates/:templateID/tags/count', { schema: countTags }, count(options))
  app.get('/templates/:templateID/tags/exists', { schema: checkTagOperation }, exists(options))
  app.get('/templates/:templateID/tags/groups', { schema: listTagGroups }, listGroups(options))
  app.get(
    '/templates/:templateID/tags/:tag/assignments',
    { schema: listTagAssignments },
    listAssignments(options),
  )
}

const assign =
  ({ templateService }: TagRoutesOptions): Handler<typeof assignTags> =>
  async (request, reply) => {
    const { target, tags: wanted } = request.body
    const { buildId, tags } = await templateService.assignTags(request.caller.team, target, wanted)
    return reply.code(201).send({ tags, buildID: buildId })
  }

const remove =
  ({ templateService }: TagRoutesOptions): Handler<typeof deleteTags> =>
  async (request, reply) => {
    const { name, tags } = request.body
    await templateService.removeTags(request.caller.team, name, tags)
    return reply.code(204).send(null)
  }

const list =
  ({ templates }: TagRoutesOptions): Handler<typeof listTags> =>
  async (request) => {
    const template = templates.own(request.params.templateID, request.caller.team)
    return (await templates.tagsOf(template)).map(({ tag, buildId, createdAtMs }) => ({
      tag,
      buildID: buildId,
      createdAt: new Date(createdAtMs).toISOString(),
    }))
  }

const count =
  ({ templates }: TagRoutesOptions): Handler<typeof countTags> =>
  async (request) => ({
    total: templates.ownOrUnknown(request.params.templateID, request.caller.team).tags.size,
  })

const exists =
  ({ templates }: TagRoutesOptions): Handler<typeof checkTagOperation> =>
  async (request) => {
    const template = templates.ownOrUnknown(request.params.templateID, request.caller.team)
    const normalizedTag = normalized(request.query.tag)
    return { exists: template.tags.has(normalizedTag), normalizedTag }
  }

const listGroups =
  ({ templates, tagHistory }: TagRoutesOptions): Handler<typeof listTagGroups> =>
  async (request) => {
    const { templateId } = templates.ownOrUnknown(request.params.templateID, request.caller.team)
    const { assignmentLimit = 6, tagsLimit = 25, tagsCursor, search, sort = 'latest_desc' } = request.query
    const options = { sort, tagsLimit, assignmentLimit, search, cursor: tagsCursor }
    const { items, nextCursor } = await tagHistory.groups(templateId, options)
    return { tags: items.map(toGroup), nextCursor }
  }

const listAssignments =
  ({ templates, tagHistory }: TagRoutesOptions): Handler<typeof listTagAssignments> =>
  async (request) => {
    const { templateId } = templates.ownOrUnknown(request.params.templateID, request.caller.team)
    const tag = normalized(request.params.tag)
    const { limit = 50, cursor } = request.query
    const { items, nextCursor } = await tagHistory.assignments(templateId, tag, { limit, cursor })
    return { data: items.map(toAssignment), nextCursor }
  }

/** @throws SandlotError invalid_request */
const normalized = (tag: string): string => checkTag(tag.trim().toLowerCase())

const toGroup = ({ tag, assignments, hasMore }: TagGroup) => ({
  tag,
  assignments: assignments.map(toAssignment),
  hasMore,
})

const toAssignment = (assignment: TagAssignment): TemplateTagAssignment => ({
  assignmentId: assignment.assignmentId,
  buildId: assignment.buildId,
  assignedAt: new Date(assignment.assignedAtMs).toISOString(),
  buildCreatedAt: new Date(assignment.buildCreatedAtMs).toISOString(),
  buildFinishedAt:
    assignment.buildFinishedAtMs === null ? null : new Date(assignment.buildFinishedAtMs).toISOString(),
})
