import type { ServerResponse } from 'node:http'
import { SandlotError } from '@sandlot/protocol'
import {
  Checkpoint,
  CollectGarbage,
  ErrorSchema,
  ForkSandbox,
  GarbageReport,
  KeepPolicy,
  NewSnapshot,
  PauseSandbox,
  ResumeSandbox,
  Rollback,
  Sandbox,
  SandboxDiff,
  SandboxTree,
  SnapshotInfo,
  StorageUsage,
} from '@sandlot/protocol/rest'
import Type from 'typebox'
import { type CheckpointService, DEFAULT_KEEP, type TreeNode } from '../checkpoints/service.ts'
import type { App } from '../http/app.ts'
import { clampLimit, decodeCursor, pageOf } from '../http/pagination.ts'
import { answerOnce, IdempotencyHeaders } from '../idempotency/once.ts'
import type { Idempotency } from '../idempotency/service.ts'
import type { SnapshotService } from '../snapshots/service.ts'
import type { StorageUsage as StorageUsageService } from '../usage/service.ts'
import { toSandbox } from './answers.ts'
import type { Forks } from './forks.ts'
import type { Pauses } from './pauses.ts'
import type { Rollbacks } from './rollback.ts'
import type { SandboxService } from './service.ts'

const Id = Type.Object({ id: Type.String() })
const errors = { '4xx': ErrorSchema, '5xx': ErrorSchema }
const tags = ['persistence']
const MAX_DIFF_PATHS = 10_000

export interface PersistenceRoutesOptions {
  sandboxes: SandboxService
  pauses: Pauses
  forks: Forks
  rollbacks: Rollbacks
  checkpoints: CheckpointService
  snapshots: SnapshotService
  storage: StorageUsageService
  idempotency: Idempotency
  domain: string
}

/** Pause, resume, snapshots, forks, and the tree of checkpoints. */
export function persistenceRoutes(app: App, options: PersistenceRoutesOptions): void {
  const { sandboxes, pauses, forks, rollbacks, checkpoints, snapshots, storage, idempotency, domain } =
    options

  app.post(
    '/sandboxes/:id/pause',
    {
      schema: {
        tags,
        summary: 'Put a sandbox away, with its memory or only its file system',
        params: Id,
        body: PauseSandbox,
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      const { memory, requireHealthyGuest } = request.body
      await pauses.pause(request.caller.team, request.params.id, {
        hasMemory: memory !== false,
        mustBeHealthy: requireHealthyGuest === true,
      })
      return reply.code(204).send(null)
    },
  )

  app.post(
    '/sandboxes/:id/resume',
    {
      schema: {
        tags,
        summary: 'Resume a paused sandbox (old; use connect)',
        params: Id,
        body: ResumeSandbox,
        response: { 201: Sandbox, ...errors },
      },
    },
    async (request, reply) => {
      const { timeout, memory } = request.body
      const sandbox = await pauses.resume(request.caller.team, request.params.id, timeout, memory)
      return reply.code(201).send(toSandbox(sandbox, domain))
    },
  )

  app.post(
    '/sandboxes/:id/fork',
    {
      schema: {
        tags,
        summary: 'Copy a running sandbox; one entry for each copy',
        params: Id,
        headers: IdempotencyHeaders,
        body: ForkSandbox,
        response: {
          201: Type.Array(
            Type.Object({ sandbox: Type.Optional(Sandbox), error: Type.Optional(ErrorSchema) }),
          ),
          ...errors,
        },
      },
    },
    async (request, reply) => {
      const { count, timeout } = request.body
      return answerOnce(idempotency, request, reply, 201, async () => {
        const made = await forks.fork(request.caller.team, request.params.id, count, timeout)
        return made.map((fork) =>
          fork instanceof Error ? { error: fork.toBody() } : { sandbox: toSandbox(fork, domain) },
        )
      })
    },
  )

  app.post(
    '/sandboxes/:id/snapshots',
    {
      schema: {
        tags,
        summary: 'Save a running sandbox as something that others can start from; it goes on',
        params: Id,
        headers: IdempotencyHeaders,
        body: NewSnapshot,
        response: { 201: SnapshotInfo, ...errors },
      },
    },
    async (request, reply) => {
      const { team } = request.caller
      const { name, memory } = request.body
      return answerOnce(idempotency, request, reply, 201, async () => {
        const { snapshotId, names } = await snapshots.create(team, request.params.id, name, memory)
        return { snapshotID: snapshotId, names }
      })
    },
  )

  app.get(
    '/snapshots',
    {
      schema: {
        tags,
        summary: 'List snapshots, newest first',
        querystring: Type.Object({
          sandboxID: Type.Optional(Type.String({ maxLength: 128 })),
          name: Type.Optional(
            Type.String({ maxLength: 256, description: 'Name or id, with or without tag' }),
          ),
          limit: Type.Optional(Type.Integer()),
          nextToken: Type.Optional(Type.String({ maxLength: 1024 })),
        }),
        response: { 200: Type.Array(SnapshotInfo), ...errors },
      },
    },
    async (request, reply) => {
      const { sandboxID, name, limit, nextToken: token } = request.query
      const { page, nextToken } = pageOf(
        snapshots.list(request.caller.team, { sandboxId: sandboxID, name }),
        ({ createdAtMs, buildId }) => ({ timeMs: createdAtMs, id: buildId }),
        { limit: clampLimit(limit), after: token ? decodeCursor(token) : undefined, isAscending: false },
      )
      if (nextToken) reply.header('x-next-token', nextToken)
      return page.map(({ snapshotId, names }) => ({ snapshotID: snapshotId, names }))
    },
  )

  app.get(
    '/sandboxes/:id/tree',
    {
      schema: {
        tags,
        summary: 'Checkpoints of a sandbox: what came from what, when, how large, why',
        params: Id,
        response: { 200: SandboxTree, ...errors },
      },
    },
    async (request) => {
      const { team } = request.caller
      const { sandboxId, settings } = sandboxes.get(team, request.params.id)
      const tree = (await checkpoints.tree(team, sandboxId)).map(toCheckpoint)
      return { sandboxID: sandboxId, keep: settings.keep ?? DEFAULT_KEEP, checkpoints: tree }
    },
  )

  app.get(
    '/sandboxes/:id/diff',
    {
      schema: {
        tags,
        summary: 'Files that were added, changed or deleted between two checkpoints',
        params: Id,
        querystring: Type.Object({
          from: Type.Optional(Type.String({ maxLength: 64, description: 'Absent: what `to` came from' })),
          to: Type.Optional(Type.String({ maxLength: 64, description: 'Absent: the newest' })),
        }),
        response: { 200: SandboxDiff, ...errors },
      },
    },
    async (request, reply) => {
      const { from, to } = request.query
      const { team } = request.caller
      const diff = await checkpoints.diff(team, request.params.id, from, to, signalOf(reply.raw))
      const { added, changed, deleted } = diff
      return {
        from: diff.fromId,
        to: diff.toId,
        added: added.slice(0, MAX_DIFF_PATHS),
        changed: changed.slice(0, MAX_DIFF_PATHS),
        deleted: deleted.slice(0, MAX_DIFF_PATHS),
        isTruncated: [added, changed, deleted].some((paths) => paths.length > MAX_DIFF_PATHS),
      }
    },
  )

  app.post(
    '/sandboxes/:id/checkpoints',
    {
      schema: {
        tags,
        summary: 'Save a point of a running sandbox to come back to',
        params: Id,
        response: { 201: Checkpoint, ...errors },
      },
    },
    async (request, reply) =>
      reply.code(201).send(toCheckpoint(await checkpoints.create(request.caller.team, request.params.id))),
  )

  app.post(
    '/sandboxes/:id/rollback',
    {
      schema: {
        tags,
        summary: 'Take a sandbox back to an earlier checkpoint of its own',
        params: Id,
        body: Rollback,
        response: { 200: Sandbox, ...errors },
      },
    },
    async (request) => {
      const { id } = request.params
      return toSandbox(await rollbacks.rollback(request.caller.team, id, request.body.checkpointID), domain)
    },
  )

  app.put(
    '/sandboxes/:id/keep',
    {
      schema: {
        tags,
        summary: 'Say how many old checkpoints a sandbox keeps',
        params: Id,
        body: KeepPolicy,
        response: { 204: Type.Null(), ...errors },
      },
    },
    async (request, reply) => {
      await checkpoints.setKeep(request.caller.team, request.params.id, request.body)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/usage/storage',
    {
      schema: {
        tags,
        summary: "What the team's checkpoints take",
        response: { 200: StorageUsage, ...errors },
      },
    },
    async (request) => storage.usage(request.caller.team),
  )

  app.post(
    '/usage/storage/gc',
    {
      schema: {
        tags,
        summary:
          "Free what deleted checkpoints have left, for the administrator's team; the server does it by itself",
        body: CollectGarbage,
        response: { 200: GarbageReport, ...errors },
      },
    },
    async (request) => storage.collectGarbage(request.caller.team, request.body.isDryRun),
  )
}

/** Aborted when the client goes before it has its answer. */
function signalOf(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new SandlotError('operation_timeout', 'the client is gone')))
  return gone.signal
}

const toCheckpoint = (node: TreeNode): Checkpoint => ({
  checkpointID: node.checkpointId,
  parentID: node.parentId ?? null,
  createdAt: new Date(node.createdAtMs).toISOString(),
  why: node.why,
  memory: node.hasMemory,
  sizeBytes: node.sizeBytes,
  isHead: node.isHead,
  names: node.names,
})
