import { SandlotError } from '@sandlot/protocol'
import {
  announceBuild,
  announceBuildV2,
  type BuildLogEntry,
  getBuildLogs,
  getBuildStatus,
  MAX_LOG_ENTRIES,
  startBuild,
} from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { checkTeamId } from '../teams/team-id.ts'
import type { Template } from '../templates/registry.ts'
import type { BuildRecord } from '../templates/repository.ts'
import type { BuildLogs, BuildLogEntry as StoredEntry } from './logs.ts'
import type { TemplateBuilder } from './service.ts'

/** Larger than for other routes, as a step may have 64 KiB, and a build many steps. */
const MAX_BODY_BYTES = 8 * 1024 * 1024
/** Routes of old clients, which push Docker images to a registry of the hosted service. */
const OLD_ROUTES = ['/templates', '/templates/:templateID', '/templates/:templateID/builds/:buildID']

export interface BuildRoutesOptions {
  templateBuilder: TemplateBuilder
  buildLogs: BuildLogs
}

/** Announces, starts and watches builds. For the files of COPY steps see `uploads/routes.ts`. */
export function buildRoutes(app: App, options: BuildRoutesOptions): void {
  app.post('/v3/templates', { schema: announceBuild }, announce(options))
  app.post('/v2/templates', { schema: announceBuildV2 }, announce(options))
  app.post(
    '/v2/templates/:templateID/builds/:buildID',
    { schema: startBuild, bodyLimit: MAX_BODY_BYTES },
    start(options),
  )
  app.get('/templates/:templateID/builds/:buildID/status', { schema: getBuildStatus }, getStatus(options))
  app.get('/templates/:templateID/builds/:buildID/logs', { schema: getBuildLogs }, getLogs(options))
  for (const url of OLD_ROUTES) app.post(url, { schema: { hide: true } }, refuseOldClient)
}

const announce =
  ({ templateBuilder }: BuildRoutesOptions): Handler<typeof announceBuild> =>
  async (request, reply) => {
    const { name, alias, teamID, ...rest } = request.body
    const { team } = request.caller
    checkTeamId(team, teamID)
    const wanted = name ?? alias
    if (wanted === undefined) throw new SandlotError('invalid_request', 'name is missing in the body')
    const { template, build } = await templateBuilder.announce(team, { name: wanted, ...rest })
    return reply.code(202).send(toAnnounced(template, build, team.slug))
  }

const start =
  ({ templateBuilder }: BuildRoutesOptions): Handler<typeof startBuild> =>
  async (request, reply) => {
    const { templateID, buildID } = request.params
    await templateBuilder.start(request.caller.team, templateID, buildID, request.body)
    return reply.code(202).send(null)
  }

const getStatus =
  ({ templateBuilder, buildLogs }: BuildRoutesOptions): Handler<typeof getBuildStatus> =>
  async (request) => {
    const { templateID, buildID } = request.params
    const { logsOffset = 0, limit = MAX_LOG_ENTRIES, level } = request.query
    const build = templateBuilder.find(request.caller.team, templateID, buildID)
    // read before the entries, so that an answer that shows the end also has the last entries
    const { status, reason } = build
    const entries = await buildLogs.read(buildID, logsOffset, Math.min(limit, MAX_LOG_ENTRIES), level)
    return {
      templateID: build.templateId,
      buildID,
      status,
      logEntries: entries.map(toLogEntry),
      logs: [],
      reason,
    }
  }

const getLogs =
  ({ templateBuilder, buildLogs }: BuildRoutesOptions): Handler<typeof getBuildLogs> =>
  async (request) => {
    const { templateID, buildID } = request.params
    const { cursor, limit = MAX_LOG_ENTRIES, direction, level } = request.query
    templateBuilder.find(request.caller.team, templateID, buildID)
    const entries = await buildLogs.page(buildID, {
      fromMs: cursor,
      limit: Math.min(limit, MAX_LOG_ENTRIES),
      isBackward: direction === 'backward',
      level,
    })
    return { logs: entries.map(toLogEntry) }
  }

async function refuseOldClient(): Promise<never> {
  throw new SandlotError(
    'not_implemented',
    'this client pushes Docker images to a registry, which Sandlot does not have: use e2b 2.3 or newer, or @e2b/cli 2.5 or newer',
  )
}

const toAnnounced = (
  { templateId, name, isPublic }: Template,
  { buildId, tags }: BuildRecord,
  slug: string,
) => ({
  templateID: templateId,
  buildID: buildId,
  public: isPublic,
  names: [`${slug}/${name}`],
  tags,
  // templates of announced builds have a name: only snapshots may lack one
  aliases: [name!],
})

const toLogEntry = ({ timestampMs, level, message, step }: StoredEntry): BuildLogEntry => ({
  timestamp: new Date(timestampMs).toISOString(),
  level,
  message,
  step,
})
