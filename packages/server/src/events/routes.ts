import { isSandboxId } from '@sandlot/protocol'
import { ErrorSchema, SandboxLog, SandboxLogEntry } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import { MAX_UNIX_MS } from '../http/pagination.ts'
import { notFound } from '../sandboxes/errors.ts'
import type { SandboxService } from '../sandboxes/service.ts'
import type { Team } from '../teams/team.ts'
import type { LifecycleEvent } from './events.ts'
import type { EventRepository } from './repository.ts'

const Id = Type.Object({ id: Type.String() })
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const MAX_LOG_LINES = 1000
/** Most lines that a filtered log reads. */
const MAX_SCANNED_LINES = 10_000
const MAX_OFFSET = 1_000_000
const UnixMs = Type.Integer({ minimum: 0, maximum: MAX_UNIX_MS, description: 'Unix milliseconds' })

export interface EventRoutesOptions {
  events: EventRepository
  sandboxes: SandboxService
}

export function eventRoutes(app: App, { events, sandboxes }: EventRoutesOptions): void {
  const EventType = Type.String({ maxLength: 512 })
  const EventsQuery = Type.Object({
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_OFFSET, default: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 100, default: 10 })),
    orderAsc: Type.Optional(Type.Boolean({ default: false })),
    types: Type.Optional(Type.Union([EventType, Type.Array(EventType, { maxItems: 20 })])),
  })
  for (const url of ['/events/sandboxes', '/events/sandboxes/:id'])
    app.get(
      url,
      {
        schema: {
          tags: ['events'],
          summary: 'Lifecycle events',
          querystring: EventsQuery,
          response: { 200: Type.Array(Type.Unknown()), ...errors },
        },
      },
      async (request) => {
        const { id } = request.params as { id?: string }
        if (id !== undefined && !isSandboxId(id)) throw notFound(id)
        const { offset = 0, limit = 10, orderAsc = false, types } = request.query
        return events.list({
          teamId: request.caller.team.teamId,
          sandboxId: id,
          offset,
          limit,
          isAscending: orderAsc,
          withMetadata: true,
          types: types === undefined ? undefined : [types].flat().flatMap((part) => part.split(',')),
        })
      },
    )

  /** Checks that a sandbox exists or has existed: the log of an ended one says why it ended. @throws SandlotError not_found */
  const logOf = async (
    team: Team,
    id: string,
    options: { fromMs?: number; toMs?: number; limit: number; isAscending: boolean },
  ): Promise<SandboxLogEntry[]> => {
    if (!isSandboxId(id)) throw notFound(id)
    const query = { teamId: team.teamId, sandboxId: id, offset: 0 }
    const found = await events.list({ ...query, ...options })
    if (found.length === 0 && !(await events.list({ ...query, limit: 1, isAscending: true }))[0])
      sandboxes.get(team, id)
    return found.map(toLogEntry)
  }

  const LogsQuery = Type.Object({
    start: Type.Optional(UnixMs),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_LOG_LINES, default: MAX_LOG_LINES })),
  })
  app.get(
    '/sandboxes/:id/logs',
    {
      schema: {
        tags: ['sandboxes'],
        summary: 'Log of a sandbox',
        params: Id,
        querystring: LogsQuery,
        response: {
          200: Type.Object({ logs: Type.Array(SandboxLog), logEntries: Type.Array(SandboxLogEntry) }),
          ...errors,
        },
      },
    },
    async (request) => {
      const { start, limit = MAX_LOG_LINES } = request.query
      const logEntries = await logOf(request.caller.team, request.params.id, {
        fromMs: start,
        limit,
        isAscending: true,
      })
      return {
        logs: logEntries.map((entry) => ({
          timestamp: entry.timestamp,
          line: JSON.stringify({
            level: entry.level,
            logger: 'sandlot',
            msg: entry.message,
            ...entry.fields,
          }),
        })),
        logEntries,
      }
    },
  )

  const LogsQueryV2 = Type.Object({
    cursor: Type.Optional(UnixMs),
    limit: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_LOG_LINES, default: MAX_LOG_LINES })),
    direction: Type.Optional(Type.Union([Type.Literal('forward'), Type.Literal('backward')])),
    level: Type.Optional(
      Type.Union((['debug', 'info', 'warn', 'error'] as const).map((level) => Type.Literal(level))),
    ),
    search: Type.Optional(Type.String({ maxLength: 256 })),
  })
  app.get(
    '/v2/sandboxes/:id/logs',
    {
      schema: {
        tags: ['sandboxes'],
        summary: 'Log of a sandbox',
        params: Id,
        querystring: LogsQueryV2,
        response: { 200: Type.Object({ logs: Type.Array(SandboxLogEntry) }), ...errors },
      },
    },
    async (request) => {
      const { cursor, limit = MAX_LOG_LINES, direction, level, search } = request.query
      const isAscending = direction !== 'backward'
      const isFiltered = level !== undefined || search !== undefined
      const entries = await logOf(request.caller.team, request.params.id, {
        ...(isAscending ? { fromMs: cursor } : { toMs: cursor }),
        limit: isFiltered ? MAX_SCANNED_LINES : limit,
        isAscending,
      })
      const severity = ['debug', 'info', 'warn', 'error']
      return {
        logs: entries
          .filter(
            (entry) =>
              (!level || severity.indexOf(entry.level) >= severity.indexOf(level)) &&
              (!search || entry.message.includes(search)),
          )
          .slice(0, limit),
      }
    },
  )
}

function toLogEntry(event: LifecycleEvent): SandboxLogEntry {
  const reason = event.event_data.kill_reason
  const until = event.event_data.set_timeout
  const detail = reason ? `: ${reason}` : until ? `: lives until ${until}` : ''
  return {
    timestamp: event.timestamp,
    message: `sandbox ${event.type.split('.').at(-1)}${detail}`,
    level: 'info',
    fields: { event: event.type, execution: event.sandbox_execution_id },
  }
}
