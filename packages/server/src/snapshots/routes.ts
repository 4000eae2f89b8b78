import { createSnapshot, listSnapshots } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import { answerOnce } from '../idempotency/once.ts'
import type { Idempotency } from '../idempotency/service.ts'
import type { SnapshotService } from './service.ts'

export interface SnapshotRoutesOptions {
  snapshots: SnapshotService
  idempotency: Idempotency
}

/** Snapshots: templates that are made from running sandboxes. They are deleted like templates. */
export function snapshotRoutes(app: App, options: SnapshotRoutesOptions): void {
  app.post('/sandboxes/:sandboxID/snapshots', { schema: createSnapshot }, create(options))
  app.get('/snapshots', { schema: listSnapshots }, list(options))
}

const create =
  ({ snapshots, idempotency }: SnapshotRoutesOptions): Handler<typeof createSnapshot> =>
  async (request, reply) => {
    const { team } = request.caller
    const { name, memory } = request.body
    return answerOnce(idempotency, request, reply, 201, async () => {
      const { sandboxID } = request.params
      const { snapshotId, names } = await snapshots.create(team, sandboxID, name, memory)
      return { snapshotID: snapshotId, names }
    })
  }

const list =
  ({ snapshots }: SnapshotRoutesOptions): Handler<typeof listSnapshots> =>
  async (request, reply) => {
    const { sandboxID, name, limit, nextToken: token } = request.query
    const { page, nextToken } = pageOf(
      snapshots.list(request.caller.team, { sandboxId: sandboxID, name }),
      ({ createdAtMs, buildId }) => ({ timeMs: createdAtMs, id: buildId }),
      { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
    )
    if (nextToken) reply.header('x-next-token', nextToken)
    return page.map(({ snapshotId, names }) => ({ snapshotID: snapshotId, names }))
  }
