import { SandlotError } from '@sandlot/protocol'
import { ErrorSchema } from '@sandlot/protocol/rest'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import { UPLOAD_BODY } from '../http/deadlines.ts'
import { checkTeamId } from '../teams/team-id.ts'
import type { Template, TemplateRegistry } from '../templates/registry.ts'
import type { BuildRecord } from '../templates/repository.ts'
import type { Uploads } from '../uploads/service.ts'
import type { StorageUsage } from '../usage/service.ts'
import type { BuildLogEntry, BuildLogs } from './logs.ts'
import { BuildStart } from './request.ts'
import type { TemplateBuilder } from './service.ts'

const tags = ['templates']
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const Answer = Type.Record(Type.String(), Type.Unknown())
const Id = Type.String({ maxLength: 256 })
const Level = Type.Union([
  Type.Literal('debug'),
  Type.Literal('info'),
  Type.Literal('warn'),
  Type.Literal('error'),
])
const MAX_ENTRIES = 100
const MAX_BODY_BYTES = 8 * 1024 * 1024

const NewTemplate = Type.Object({
  name: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  /** What old clients call the name. */
  alias: Type.Optional(Type.String({ minLength: 1, maxLength: 256 })),
  tags: Type.Optional(Type.Array(Type.String({ maxLength: 128 }), { maxItems: 100 })),
  cpuCount: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
  memoryMB: Type.Optional(Type.Integer({ minimum: 128, maximum: 1_048_576 })),
  minFreeDiskMb: Type.Optional(Type.Integer({ minimum: 0, maximum: 1_048_576 })),
  /** Old. */
  teamID: Type.Optional(Type.String({ maxLength: 100 })),
})

export interface BuildRoutesOptions {
  templates: TemplateRegistry
  templateBuilder: TemplateBuilder
  uploads: Uploads
  buildLogs: BuildLogs
  storage: StorageUsage
}

/** Announcing, feeding, starting and watching builds (wire spec 2.4 and 5). */
export function buildRoutes(
  app: App,
  { templates, templateBuilder, uploads, buildLogs, storage }: BuildRoutesOptions,
): void {
  for (const url of ['/v3/templates', '/v2/templates'])
    app.route({
      method: 'POST',
      url,
      schema: {
        tags,
        summary: 'Announce a build of a new or known template',
        hide: url !== '/v3/templates',
        body: NewTemplate,
        response: { 202: Answer, ...errors },
      },
      handler: async (request, reply) => {
        const { name, alias, teamID, ...rest } = request.body as Type.Static<typeof NewTemplate>
        checkTeamId(request.caller.team, teamID)
        const wanted = name ?? alias
        if (wanted === undefined) throw new SandlotError('invalid_request', 'name is missing in the body')
        const { team } = request.caller
        const { template, build } = await templateBuilder.announce(team, { name: wanted, ...rest })
        return reply.code(202).send(toAnnounced(template, build, team.slug))
      },
    })
  app.post(
    '/v2/templates/:id/builds/:buildId',
    {
      bodyLimit: MAX_BODY_BYTES,
      schema: {
        tags,
        summary: 'Start an announced build',
        params: Type.Object({ id: Id, buildId: Id }),
        body: BuildStart,
        response: { 202: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const { id, buildId } = request.params
      await templateBuilder.start(request.caller.team, id, buildId, request.body)
      return reply.code(202).send(null)
    },
  )
  app.get(
    '/templates/:id/files/:hash',
    {
      schema: {
        tags,
        summary: 'Are the files of this hash here? If not: where to send them',
        params: Type.Object({ id: Id, hash: Type.String({ pattern: '^[0-9a-f]{64}$' }) }),
        response: {
          201: Type.Object({ present: Type.Boolean(), url: Type.Optional(Type.String()) }),
          ...errors,
        },
      },
    },
    async (request, reply) => {
      const { team } = request.caller
      const { id, hash } = request.params
      const { templateId } = templates.own(id, team)
      const present = await uploads.has(team.teamId, hash, templateId)
      if (!present) await storage.checkQuota(team)
      const path = `/templates/${templateId}/files/${hash}?ticket=${uploads.ticket(team, templateId, hash)}`
      return reply.code(201).send({ present, url: `${originOf(request)}${path}` })
    },
  )
  app.get(
    '/templates/:id/builds/:buildId/status',
    {
      schema: {
        tags,
        summary: 'State of a build, and its log from an offset on',
        params: Type.Object({ id: Id, buildId: Id }),
        querystring: Type.Object({
          logsOffset: Type.Optional(Type.Integer({ minimum: 0, default: 0 })),
          limit: Type.Optional(Type.Integer({ minimum: 0, default: MAX_ENTRIES })),
          level: Type.Optional(Level),
        }),
        response: { 200: Answer, ...errors },
      },
    },
    async (request) => {
      const { id, buildId } = request.params
      const { logsOffset = 0, limit = MAX_ENTRIES, level } = request.query
      const build = templateBuilder.find(request.caller.team, id, buildId)
      // before the entries: those that came with the end are in them
      const { status, reason } = build
      const entries = await buildLogs.read(buildId, logsOffset, Math.min(limit, MAX_ENTRIES), level)
      return {
        templateID: build.templateId,
        buildID: buildId,
        status,
        logEntries: entries.map(toLogEntry),
        logs: [],
        reason,
      }
    },
  )
  app.get(
    '/templates/:id/builds/:buildId/logs',
    {
      schema: {
        tags,
        summary: 'Log of a build by time',
        params: Type.Object({ id: Id, buildId: Id }),
        querystring: Type.Object({
          cursor: Type.Optional(Type.Integer({ minimum: 0, description: 'Unix milliseconds' })),
          limit: Type.Optional(Type.Integer({ minimum: 0, default: MAX_ENTRIES })),
          direction: Type.Optional(Type.Union([Type.Literal('forward'), Type.Literal('backward')])),
          level: Type.Optional(Level),
          source: Type.Optional(Type.Union([Type.Literal('temporary'), Type.Literal('persistent')])),
        }),
        response: { 200: Answer, ...errors },
      },
    },
    async (request) => {
      const { id, buildId } = request.params
      const { cursor, limit = MAX_ENTRIES, direction, level } = request.query
      templateBuilder.find(request.caller.team, id, buildId)
      const entries = await buildLogs.page(buildId, {
        fromMs: cursor,
        limit: Math.min(limit, MAX_ENTRIES),
        isBackward: direction === 'backward',
        level,
      })
      return { logs: entries.map(toLogEntry) }
    },
  )
  for (const url of ['/templates', '/templates/:id', '/templates/:id/builds/:buildId'])
    app.post(url, { schema: { hide: true } }, async () => {
      throw new SandlotError(
        'not_implemented',
        'this client pushes images of Docker to a registry of its service, which Sandlot has not: use e2b 2.3 or newer, or @e2b/cli 2.5 or newer',
      )
    })
}

/** Where files of a COPY go: without a key, by the ticket that the address holds. */
export function uploadRoutes(app: App, { uploads }: { uploads: Uploads }): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
  app.put(
    '/templates/:id/files/:hash',
    {
      config: { bodyPace: UPLOAD_BODY },
      schema: {
        hide: true,
        querystring: Type.Object({ ticket: Type.String({ pattern: '^[0-9a-f]{48}$' }) }),
      },
    },
    async (request, reply) => {
      const announcedBytes = Number(request.headers['content-length'] ?? 0)
      await uploads.receive(request.query.ticket, request.raw, announcedBytes)
      return reply.code(200).send()
    },
  )
}

const toAnnounced = (
  { templateId, name, isPublic }: Template,
  { buildId, tags: own }: BuildRecord,
  slug: string,
) => ({
  templateID: templateId,
  buildID: buildId,
  public: isPublic,
  names: [`${slug}/${name}`],
  tags: own,
  aliases: [name],
})

const toLogEntry = ({ timestampMs, level, message, step }: BuildLogEntry) => ({
  timestamp: new Date(timestampMs).toISOString(),
  level,
  message,
  step,
})

/** As the client sees us: it may have come by address or by name, plain or over TLS. */
const originOf = ({ protocol, host }: FastifyRequest): string => `${protocol}://${host}`
