import type { Joined } from '@sandlot/protocol/node'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { killedEvent, lifecycleEvent } from '../events/events.ts'
import type { Life } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import { networkPolicyOf } from './settings.ts'
import type { KillReason } from './state.ts'

/**
 * Brings rows, machines and checkpoints together after a start: what ran goes on, what was paused can be resumed, what
 * was under way is finished or undone. What no row needs is the node's to keep for a while, not to delete.
 * @returns what was being deleted on purpose, and must still go
 */
export async function recoverSandboxes(
  life: Life,
  checkpoints: CheckpointRepository,
  ids: { instanceId: string; sessionId: string },
): Promise<{ deleting: string[]; joined: Joined }> {
  const { node, repository, catalogue, logger } = life
  for (const { sandboxId, teamId, killReason } of await repository.moved())
    life.noteMoved({ sandboxId, teamId }, killReason)
  const rows = await repository.alive()
  const onDisk = new Set(await node.checkpoints())
  for (const row of rows) if (row.state === 'pausing') await settlePause(life, checkpoints, row, onDisk)
  const inState = (...states: Array<LiveSandbox['state']>) =>
    rows.filter(({ state }) => states.includes(state))
  const { listed, deleting } = await settleCheckpoints(life, checkpoints, rows)
  const joined = await node.join({
    ...ids,
    inUse: inState('running').map(({ machineId, settings }) => ({
      machineId,
      network: networkPolicyOf(settings),
    })),
    frozen: inState('paused').map(({ machineId, checkpointId, settings }) => ({
      machineId,
      checkpointId: checkpointId!,
      network: networkPolicyOf(settings),
    })),
    ended: inState('starting', 'killing').map(({ machineId }) => machineId),
    checkpoints: [...listed, ...deleting],
    builds: catalogue.teamBuilds(),
  })
  const addresses = new Map(joined.alive.map(({ machineId, address }) => [machineId, address]))
  for (const sandbox of rows) {
    if (sandbox.state === 'paused') {
      if (!onDisk.has(sandbox.checkpointId ?? ''))
        logger.warn({ sandboxId: sandbox.sandboxId }, 'the checkpoint of a paused sandbox is not here')
      life.show(sandbox)
      continue
    }
    const address = addresses.get(sandbox.machineId)
    if (sandbox.state === 'running' && address !== undefined) {
      sandbox.address = address
      life.show(sandbox)
      continue
    }
    await recordEnd(life, sandbox)
    if (sandbox.state === 'running')
      logger.warn({ sandboxId: sandbox.sandboxId }, 'a sandbox was lost: its machine is gone')
  }
  return { deleting, joined }
}

/**
 * Forgets rows of checkpoints that nobody can reach any more: half made ones, and those of sandboxes that are no more.
 * Their files are not listed from now on.
 */
async function settleCheckpoints(
  { catalogue, repository }: Life,
  checkpoints: CheckpointRepository,
  rows: readonly LiveSandbox[],
): Promise<{ listed: string[]; deleting: string[] }> {
  const alive = new Set(rows.map(({ sandboxId }) => sandboxId))
  const heads = new Set(rows.map(({ checkpointId }) => checkpointId))
  const ending = new Set(await repository.endedWithCheckpoints())
  const listed: string[] = []
  const deleting: string[] = []
  for (const { checkpointId, sandboxId, isComplete, isDeleting } of await checkpoints.all()) {
    const isNeeded = isComplete && (alive.has(sandboxId) || catalogue.isSnapshot(checkpointId))
    if (isDeleting) deleting.push(checkpointId)
    else if (isNeeded || heads.has(checkpointId) || ending.has(sandboxId)) listed.push(checkpointId)
    else await checkpoints.remove(checkpointId)
  }
  return { listed, deleting }
}

/** A pause counts once its checkpoint is complete; before that the sandbox goes on. */
async function settlePause(
  life: Life,
  checkpoints: CheckpointRepository,
  sandbox: LiveSandbox,
  onDisk: Set<string>,
): Promise<void> {
  const { node, repository, now } = life
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

async function recordEnd({ repository, logger, now }: Life, sandbox: LiveSandbox): Promise<void> {
  const reason = unfinishedReason(sandbox)
  const event = sandbox.state === 'starting' ? undefined : killedEvent(sandbox, now(), reason)
  // the disk may be full: what is not recorded now is found again by the next start
  await repository
    .setKilled(sandbox.sandboxId, reason, now(), event)
    .catch((err) =>
      logger.error({ err, sandboxId: sandbox.sandboxId }, 'the end of a sandbox was not recorded'),
    )
}

/** Why a sandbox is over that a former server left in this state without a machine. */
function unfinishedReason({ state, killReason }: LiveSandbox): KillReason {
  if (state === 'starting') return 'create_failed'
  return state === 'killing' ? (killReason ?? 'request') : 'lost'
}
