import { isSandboxId } from '@sandlot/protocol'
import { getSandboxLogs, getSandboxLogsV2, MAX_LOG_LINES, type SandboxLogEntry } from '@sandlot/protocol/rest'
import type { LifecycleEvent } from '../events/events.ts'
import type { EventQuery, EventRepository } from '../events/repository.ts'
import type { App, Handler } from '../http/app.ts'
import { notFound } from '../sandboxes/errors.ts'
import type { SandboxService } from '../sandboxes/service.ts'
import type { Team } from '../teams/team.ts'

/** Most lines that are read to filter a log. */
const MAX_SCANNED_LINES = 10_000
const SEVERITY = ['debug', 'info', 'warn', 'error']

export interface LogRoutesOptions {
  events: EventRepository
  sandboxes: SandboxService
}

/** The log of a sandbox: lifecycle events as lines. Logs have no rows of their own. */
export function logRoutes(app: App, options: LogRoutesOptions): void {
  app.get('/sandboxes/:sandboxID/logs', { schema: getSandboxLogs }, getLogs(options))
  app.get('/v2/sandboxes/:sandboxID/logs', { schema: getSandboxLogsV2 }, getLogsV2(options))
}

const getLogs =
  (options: LogRoutesOptions): Handler<typeof getSandboxLogs> =>
  async (request) => {
    const { start, limit = MAX_LOG_LINES } = request.query
    const logEntries = await readLog(options, request.caller.team, request.params.sandboxID, {
      fromMs: start,
      limit,
      isAscending: true,
    })
    return { logs: logEntries.map(toLine), logEntries }
  }

const getLogsV2 =
  (options: LogRoutesOptions): Handler<typeof getSandboxLogsV2> =>
  async (request) => {
    const { cursor, limit = MAX_LOG_LINES, direction, level, search } = request.query
    const isAscending = direction !== 'backward'
    const isFiltered = level !== undefined || search !== undefined
    const entries = await readLog(options, request.caller.team, request.params.sandboxID, {
      ...(isAscending ? { fromMs: cursor } : { toMs: cursor }),
      limit: isFiltered ? MAX_SCANNED_LINES : limit,
      isAscending,
    })
    const isWanted = (entry: SandboxLogEntry) =>
      (!level || SEVERITY.indexOf(entry.level) >= SEVERITY.indexOf(level)) &&
      (!search || entry.message.includes(search))
    return { logs: entries.filter(isWanted).slice(0, limit) }
  }

/** Reads the log of a sandbox, which may have ended. @throws SandlotError not_found */
async function readLog(
  { events, sandboxes }: LogRoutesOptions,
  team: Team,
  sandboxId: string,
  range: Pick<EventQuery, 'fromMs' | 'toMs' | 'limit' | 'isAscending'>,
): Promise<SandboxLogEntry[]> {
  if (!isSandboxId(sandboxId)) throw notFound(sandboxId)
  const query = { teamId: team.teamId, sandboxId, offset: 0 }
  const found = await events.list({ ...query, ...range })
  if (found.length === 0 && !(await events.list({ ...query, limit: 1, isAscending: true }))[0])
    sandboxes.get(team, sandboxId)
  return found.map(toLogEntry)
}

function toLogEntry(event: LifecycleEvent): SandboxLogEntry {
  const detail = detailOf(event.event_data)
  return {
    timestamp: event.timestamp,
    message: `sandbox ${event.type.split('.').at(-1)}${detail === undefined ? '' : `: ${detail}`}`,
    level: 'info',
    fields: { event: event.type, execution: event.sandbox_execution_id },
  }
}

function detailOf({
  kill_reason: reason,
  set_timeout: until,
  network_egress: network,
  volume_mounts: volumes,
}: LifecycleEvent['event_data']): string | undefined {
  if (reason) return reason
  if (until) return `lives until ${until}`
  if (network) return 'network rules replaced'
  if (!volumes) return undefined
  const mounted = volumes.map(
    ({ name, path, read_only: isReadOnly }) => `${name} at ${path}${isReadOnly ? ' (read-only)' : ''}`,
  )
  return `volumes ${mounted.join(', ') || 'none'}`
}

const toLine = ({ timestamp, level, message, fields }: SandboxLogEntry) => ({
  timestamp,
  line: JSON.stringify({ level, logger: 'sandlot', msg: message, ...fields }),
})
