import {
  deleteTemplate,
  findTemplateByAlias,
  getTemplate,
  listDefaultTemplates,
  listTemplates,
  listTemplatesV2,
  updateTemplate,
  updateTemplateV2,
} from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { checkUnpaged, clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import type { Team } from '../teams/team.ts'
import { checkTeamId } from '../teams/team-id.ts'
import { namesOf, toBuild, toDefaultTemplate, toTemplate } from './answers.ts'
import { isRecord, type Template, type TemplateRegistry } from './registry.ts'
import type { TemplateService } from './service.ts'

export interface TemplateRoutesOptions {
  templates: TemplateRegistry
  /** Descriptions of the templates that come with this server, by template name. */
  templateDescriptions: ReadonlyMap<string, string>
  templateService: TemplateService
  now: () => number
}

/** Finds, publishes and deletes templates. */
export function templateRoutes(app: App, options: TemplateRoutesOptions): void {
  app.get('/templates', { schema: listTemplates }, list(options))
  app.get('/default-templates', { schema: listDefaultTemplates }, listDefaults(options))
  app.get('/v2/templates', { schema: listTemplatesV2 }, listV2(options))
  app.get('/templates/aliases/:alias', { schema: findTemplateByAlias }, findByAlias(options))
  app.get('/templates/:templateID', { schema: getTemplate }, get(options))
  app.delete('/templates/:templateID', { schema: deleteTemplate }, remove(options))
  app.patch('/v2/templates/:templateID', { schema: updateTemplateV2 }, updateV2(options))
  app.patch('/templates/:templateID', { schema: updateTemplate }, update(options))
}

async function toAnswers(
  { templates, templateDescriptions }: TemplateRoutesOptions,
  shown: Template[],
  team: Team,
  toAnswer = toTemplate,
) {
  const spawns = await templates.spawns(shown)
  return shown.map((template) =>
    toAnswer(template, team, spawns.get(template.templateId), templateDescriptions.get(template.name ?? '')),
  )
}

const list =
  (options: TemplateRoutesOptions): Handler<typeof listTemplates> =>
  async (request) => {
    const { team } = request.caller
    checkTeamId(team, request.query.teamID)
    const visible = options.templates.visibleTo(team)
    checkUnpaged(visible.length, 'templates', 'GET /v2/templates')
    return toAnswers(options, visible, team)
  }

const listDefaults =
  (options: TemplateRoutesOptions): Handler<typeof listDefaultTemplates> =>
  async (request) => {
    const defaults = options.templates.defaults().sort((a, b) => (a.templateId < b.templateId ? -1 : 1))
    return toAnswers(options, defaults, request.caller.team, toDefaultTemplate)
  }

const listV2 =
  (options: TemplateRoutesOptions): Handler<typeof listTemplatesV2> =>
  async (request, reply) => {
    const { limit, nextToken: token, teamID } = request.query
    checkTeamId(request.caller.team, teamID)
    const { page, nextToken } = pageOf(
      options.templates.visibleTo(request.caller.team),
      ({ createdAtMs, templateId }) => ({ timeMs: createdAtMs, id: templateId }),
      { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
    )
    if (nextToken) reply.header('x-next-token', nextToken)
    return toAnswers(options, page, request.caller.team)
  }

const findByAlias =
  ({ templates }: TemplateRoutesOptions): Handler<typeof findTemplateByAlias> =>
  async (request) => {
    const { alias } = request.params
    const { team } = request.caller
    const template = alias.includes(':')
      ? templates.resolve(alias, team).template
      : templates.see(alias, team)
    return { templateID: template.templateId, public: template.isPublic }
  }

const get =
  (options: TemplateRoutesOptions): Handler<typeof getTemplate> =>
  async (request, reply) => {
    const { team } = request.caller
    const { limit, nextToken: token } = request.query
    const template = options.templates.see(request.params.templateID, team)
    const { page, nextToken } = pageOf(
      template.builds,
      (build) => ({
        timeMs: isRecord(build) ? build.createdAtMs : template.createdAtMs,
        id: build.buildId,
      }),
      { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
    )
    if (nextToken) reply.header('x-next-token', nextToken)
    const [answer] = await toAnswers(options, [template], team)
    return { ...answer!, builds: page.map((build) => toBuild(build, template)) }
  }

const remove =
  ({ templates, templateService }: TemplateRoutesOptions): Handler<typeof deleteTemplate> =>
  async (request, reply) => {
    const template = templates.own(request.params.templateID, request.caller.team)
    await templateService.delete(template)
    return reply.code(204).send(null)
  }

const updateV2 =
  (options: TemplateRoutesOptions): Handler<typeof updateTemplateV2> =>
  async ({ caller, params, body }) => {
    const template = await changeVisibility(options, caller.team, params.templateID, body.public)
    return { names: namesOf(template, caller.team.slug) }
  }

const update =
  (options: TemplateRoutesOptions): Handler<typeof updateTemplate> =>
  async ({ caller, params, body }) => {
    await changeVisibility(options, caller.team, params.templateID, body.public)
    return {}
  }

/** @param isPublic undefined: no change */
async function changeVisibility(
  { templates, now }: TemplateRoutesOptions,
  team: Team,
  reference: string,
  isPublic: boolean | undefined,
): Promise<Template> {
  const template = templates.own(reference, team)
  if (isPublic !== undefined) await templates.setPublic(template, isPublic, now())
  return template
}
