import { isSandboxId } from '@sandlot/protocol'
import { listEvents, listSandboxEvents } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { notFound } from '../sandboxes/errors.ts'
import type { Team } from '../teams/team.ts'
import type { EventRepository } from './repository.ts'

export interface EventRoutesOptions {
  events: EventRepository
}

/** Lifecycle events as stored; there are no rules, so the routes use the repository directly. */
export function eventRoutes(app: App, options: EventRoutesOptions): void {
  app.get('/events/sandboxes', { schema: listEvents }, list(options))
  app.get('/events/sandboxes/:sandboxID', { schema: listSandboxEvents }, listOfSandbox(options))
}

interface EventsQuery {
  offset?: number
  limit?: number
  orderAsc?: boolean
  types?: string | string[]
}

const list =
  ({ events }: EventRoutesOptions): Handler<typeof listEvents> =>
  async ({ caller, query }) =>
    events.list(toQuery(caller.team, query))

const listOfSandbox =
  ({ events }: EventRoutesOptions): Handler<typeof listSandboxEvents> =>
  async ({ caller, query, params: { sandboxID } }) => {
    if (!isSandboxId(sandboxID)) throw notFound(sandboxID)
    return events.list({ ...toQuery(caller.team, query), sandboxId: sandboxID })
  }

const toQuery = ({ teamId }: Team, { offset = 0, limit = 10, orderAsc = false, types }: EventsQuery) => ({
  teamId,
  offset,
  limit,
  isAscending: orderAsc,
  withMetadata: true,
  types: types === undefined ? undefined : [types].flat().flatMap((part) => part.split(',')),
})
