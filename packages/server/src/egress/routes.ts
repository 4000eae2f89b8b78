import { DEFAULT_EGRESS_RECORDS, getMetricsText, listSandboxEgress } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { EgressService } from './service.ts'

export interface EgressRoutesOptions {
  egress: EgressService
}

/** Where sandboxes connected to. */
export function egressRoutes(app: App, options: EgressRoutesOptions): void {
  app.get('/sandboxes/:sandboxID/egress', { schema: listSandboxEgress }, list(options))
  app.get('/metrics', { schema: getMetricsText }, getText(options))
}

const list =
  ({ egress }: EgressRoutesOptions): Handler<typeof listSandboxEgress> =>
  async (request, reply) => {
    const { cursor, since, limit = DEFAULT_EGRESS_RECORDS, follow = false, name, ...filter } = request.query
    const gone = new AbortController()
    reply.raw.once('close', () => gone.abort())
    return egress.list(
      request.caller.team,
      request.params.sandboxID,
      {
        ...filter,
        name: name?.toLowerCase(),
        limit,
        follow,
        after: cursor === undefined ? undefined : Number(cursor),
        sinceMs: since === undefined ? undefined : Date.parse(since),
      },
      gone.signal,
    )
  }

const getText =
  ({ egress }: EgressRoutesOptions): Handler<typeof getMetricsText> =>
  async (request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(egress.describeCounters(request.caller.team))
