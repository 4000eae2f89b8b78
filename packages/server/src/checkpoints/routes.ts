import type { ServerResponse } from 'node:http'
import { SandlotError } from '@sandlot/protocol'
import {
  type Checkpoint,
  createCheckpoint,
  getSandboxDiff,
  getSandboxTree,
  rollBackSandbox,
  setSandboxKeep,
} from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { toSandbox } from '../sandboxes/answers.ts'
import type { Rollbacks } from '../sandboxes/rollback.ts'
import type { SandboxService } from '../sandboxes/service.ts'
import { type CheckpointService, DEFAULT_KEEP, type TreeNode } from './service.ts'

const MAX_DIFF_PATHS = 10_000

export interface CheckpointRoutesOptions {
  sandboxes: SandboxService
  checkpoints: CheckpointService
  rollbacks: Rollbacks
  domain: string
}

/** Creates, lists and compares the checkpoints of a sandbox, and rolls the sandbox back to one. */
export function checkpointRoutes(app: App, options: CheckpointRoutesOptions): void {
  app.get('/sandboxes/:sandboxID/tree', { schema: getSandboxTree }, getTree(options))
  app.get('/sandboxes/:sandboxID/diff', { schema: getSandboxDiff }, getDiff(options))
  app.post('/sandboxes/:sandboxID/checkpoints', { schema: createCheckpoint }, create(options))
  app.post('/sandboxes/:sandboxID/rollback', { schema: rollBackSandbox }, rollBack(options))
  app.put('/sandboxes/:sandboxID/keep', { schema: setSandboxKeep }, setKeep(options))
}

const getTree =
  ({ sandboxes, checkpoints }: CheckpointRoutesOptions): Handler<typeof getSandboxTree> =>
  async (request) => {
    const { team } = request.caller
    const { sandboxId, settings } = sandboxes.get(team, request.params.sandboxID)
    const tree = (await checkpoints.tree(team, sandboxId)).map(toCheckpoint)
    return { sandboxID: sandboxId, keep: settings.keep ?? DEFAULT_KEEP, checkpoints: tree }
  }

const getDiff =
  ({ checkpoints }: CheckpointRoutesOptions): Handler<typeof getSandboxDiff> =>
  async (request, reply) => {
    const { from, to } = request.query
    const { team } = request.caller
    const signal = closeSignalOf(reply.raw)
    const diff = await checkpoints.diff(team, request.params.sandboxID, from, to, signal)
    const { added, changed, deleted } = diff
    return {
      from: diff.fromId,
      to: diff.toId,
      added: added.slice(0, MAX_DIFF_PATHS),
      changed: changed.slice(0, MAX_DIFF_PATHS),
      deleted: deleted.slice(0, MAX_DIFF_PATHS),
      isTruncated: [added, changed, deleted].some((paths) => paths.length > MAX_DIFF_PATHS),
    }
  }

const create =
  ({ checkpoints }: CheckpointRoutesOptions): Handler<typeof createCheckpoint> =>
  async (request, reply) => {
    const node = await checkpoints.create(request.caller.team, request.params.sandboxID)
    return reply.code(201).send(toCheckpoint(node))
  }

const rollBack =
  ({ rollbacks, domain }: CheckpointRoutesOptions): Handler<typeof rollBackSandbox> =>
  async (request) => {
    const { checkpointID } = request.body
    const { team } = request.caller
    return toSandbox(await rollbacks.rollback(team, request.params.sandboxID, checkpointID), domain)
  }

const setKeep =
  ({ checkpoints }: CheckpointRoutesOptions): Handler<typeof setSandboxKeep> =>
  async (request, reply) => {
    await checkpoints.setKeep(request.caller.team, request.params.sandboxID, request.body)
    return reply.code(204).send(null)
  }

/** Returns a signal that is aborted when the client closes the connection before it has the answer. */
function closeSignalOf(response: ServerResponse): AbortSignal {
  const closed = new AbortController()
  response.once('close', () => closed.abort(new SandlotError('operation_timeout', 'the client is gone')))
  return closed.signal
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
