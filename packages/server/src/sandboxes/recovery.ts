import type { Joined, KnownMachine } from '@sandlot/protocol/node'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import type { CheckpointService } from '../checkpoints/service.ts'
import { killedEvent, lifecycleEvent } from '../events/events.ts'
import type { SandboxLifecycle } from './lifecycle.ts'
import { networkPolicyOf } from './network-policy.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import type { KillReason } from './state.ts'

export interface RecoveryOptions {
  operations: SandboxOperations
  lifecycle: SandboxLifecycle
  checkpoints: CheckpointService
  checkpointRows: CheckpointRepository
  /** Id of the database that holds the rows. */
  instanceId: string
  /** Id of this server process. */
  sessionId: string
}

/**
 * Reconciles rows, machines and checkpoints after a start of the server: sandboxes that ran are shown again, paused ones
 * can be resumed, unfinished operations are finished or undone. The node keeps what no row needs for a while. Deletions
 * that the last server had begun are finished in the background.
 * @returns the state that the node reports
 */
export async function recoverSandboxes(options: RecoveryOptions): Promise<Joined> {
  const { operations, lifecycle, checkpointRows: checkpoints, instanceId, sessionId } = options
  const { node, repository, templates } = operations
  for (const { sandboxId, teamId, killReason } of await repository.takenOver())
    operations.noteTakeover({ sandboxId, teamId }, killReason)
  for (const sandbox of await repository.elsewhere()) operations.noteElsewhere(sandbox)
  const rows = await repository.alive()
  const onDisk = new Set(await node.checkpoints())
  for (const row of rows) if (row.state === 'pausing') await settlePause(operations, checkpoints, row, onDisk)
  const inState = (...states: Array<LiveSandbox['state']>) =>
    rows.filter(({ state }) => states.includes(state))
  const { listed, deleting } = await settleCheckpoints(operations, checkpoints, rows)
  const joined = await node.join({
    instanceId,
    sessionId,
    inUse: inState('running').map(knownMachine),
    frozen: inState('paused').map((sandbox) => ({
      ...knownMachine(sandbox),
      checkpointId: sandbox.checkpointId!,
    })),
    ended: inState('starting', 'killing').map(({ machineId }) => machineId),
    checkpoints: [...listed, ...deleting],
    builds: templates.teamBuilds(),
  })
  const addresses = new Map(joined.alive.map(({ machineId, address }) => [machineId, address]))
  for (const sandbox of rows) {
    if (sandbox.state === 'paused' && !onDisk.has(sandbox.checkpointId ?? ''))
      operations.logger.warn(
        { sandboxId: sandbox.sandboxId },
        'the checkpoint of a paused sandbox is missing',
      )
    const address = addresses.get(sandbox.machineId)
    if (sandbox.state === 'running' && address !== undefined) sandbox.address = address
    else if (sandbox.state !== 'paused') {
      await recordEnd(operations, sandbox)
      continue
    }
    lifecycle.show(sandbox)
  }
  operations.inBackground('deleting what the last server was deleting', async () => {
    for (const checkpointId of deleting) await options.checkpoints.remove(checkpointId)
    for (const sandboxId of await repository.endedWithCheckpoints()) await lifecycle.forget(sandboxId)
  })
  return joined
}

const knownMachine = ({ machineId, sandboxId, teamId, settings }: LiveSandbox): KnownMachine => ({
  machineId,
  sandboxId,
  teamId,
  network: networkPolicyOf(settings),
  // also none: the last server may have stopped while it mounted one
  volumes: settings.volumeMounts ?? [],
})

/**
 * Deletes the rows of checkpoints that no caller can reach any more: unfinished ones, and those of sandboxes that have
 * ended. @returns the checkpoints that the node must keep, and those that are being deleted on purpose
 */
async function settleCheckpoints(
  { templates, repository }: SandboxOperations,
  checkpoints: CheckpointRepository,
  rows: readonly LiveSandbox[],
): Promise<{ listed: string[]; deleting: string[] }> {
  const alive = new Set(rows.map(({ sandboxId }) => sandboxId))
  const heads = new Set(rows.map(({ checkpointId }) => checkpointId))
  const ending = new Set(await repository.endedWithCheckpoints())
  // checkpoints of other homes of this database may lie in a bucket that this home shares with them
  const listed = await checkpoints.idsElsewhere()
  const deleting: string[] = []
  for (const { checkpointId, sandboxId, isComplete, isDeleting } of await checkpoints.all()) {
    const isNeeded = isComplete && (alive.has(sandboxId) || templates.isSnapshot(checkpointId))
    if (isDeleting) deleting.push(checkpointId)
    else if (isNeeded || heads.has(checkpointId) || ending.has(sandboxId)) listed.push(checkpointId)
    else await checkpoints.remove(checkpointId)
  }
  return { listed, deleting }
}

/** Finishes a pause whose checkpoint is complete, and undoes any other, whose sandbox keeps running. */
async function settlePause(
  operations: SandboxOperations,
  checkpoints: CheckpointRepository,
  sandbox: LiveSandbox,
  onDisk: Set<string>,
): Promise<void> {
  const { node, repository, now } = operations
  const checkpointId = sandbox.checkpointId!
  if (onDisk.has(checkpointId)) {
    sandbox.state = 'paused'
    sandbox.pausedAtMs = now()
    const event = lifecycleEvent('paused', sandbox, sandbox.pausedAtMs, { pause_reason: 'recovered' })
    await repository.setPaused(sandbox, await node.describe(checkpointId), event)
    return
  }
  sandbox.state = 'running'
  sandbox.checkpointId = (await checkpoints.find(checkpointId))?.parentId
  await repository.undoPausing(sandbox, checkpointId)
}

async function recordEnd(operations: SandboxOperations, sandbox: LiveSandbox): Promise<void> {
  const { repository, logger, now } = operations
  const { sandboxId, state } = sandbox
  const reason = endReason(sandbox)
  const event = state === 'starting' ? undefined : killedEvent(sandbox, now(), reason)
  if (state === 'running') logger.warn({ sandboxId }, 'a sandbox was lost: its machine is gone')
  // the disk may be full; the next start finds ends that were not recorded
  await repository
    .setKilled(sandboxId, reason, now(), event)
    .catch((err) => logger.error({ err, sandboxId }, 'the end of a sandbox was not recorded'))
}

/** Why a sandbox ended, judged by the state that the last server left in the row. */
function endReason({ state, killReason }: LiveSandbox): KillReason {
  if (state === 'starting') return 'create_failed'
  return state === 'killing' ? (killReason ?? 'request') : 'lost'
}
