import { killedEvent, lifecycleEvent } from '../events/events.ts'
import type { CheckpointRepository } from './checkpoint-repository.ts'
import type { Life } from './life.ts'
import type { LiveSandbox } from './sandbox.ts'
import { networkPolicyOf } from './settings.ts'
import type { KillReason } from './state.ts'

/**
 * Brings rows, machines and checkpoints together after a start: what ran goes on, what was paused can be resumed, what
 * was under way is finished or undone.
 */
export async function recoverSandboxes(life: Life, checkpoints: CheckpointRepository): Promise<void> {
  const { node, repository, catalogue, logger } = life
  for (const { sandboxId, teamId, killReason } of await repository.moved())
    life.noteMoved({ sandboxId, teamId }, killReason)
  const rows = await repository.alive()
  const onDisk = await node.checkpoints()
  for (const row of rows) if (row.state === 'pausing') await settlePause(life, checkpoints, row, onDisk)
  const known = new Set<string>()
  for (const { checkpointId, isComplete } of await checkpoints.all()) {
    if (!onDisk.has(checkpointId)) await checkpoints.remove(checkpointId)
    else if (isComplete || rows.some((row) => row.checkpointId === checkpointId)) known.add(checkpointId)
    else await checkpoints.remove(checkpointId)
  }
  const inState = (state: LiveSandbox['state']) => rows.filter((row) => row.state === state)
  const alive = await node.start({
    inUse: new Map(
      inState('running').map(({ machineId, settings }) => [machineId, networkPolicyOf(settings)]),
    ),
    frozen: new Map(
      inState('paused').map(({ machineId, checkpointId, settings }) => [
        machineId,
        { checkpointId: checkpointId!, network: networkPolicyOf(settings) },
      ]),
    ),
    checkpoints: known,
    builds: catalogue.teamBuilds(),
  })
  for (const sandbox of rows) {
    if (sandbox.state === 'paused' && onDisk.has(sandbox.checkpointId ?? '')) {
      life.show(sandbox)
      continue
    }
    const address = alive.has(sandbox.machineId) ? node.addressOf(sandbox.machineId) : undefined
    if (sandbox.state === 'running' && address !== undefined) {
      sandbox.address = address
      life.show(sandbox)
      continue
    }
    await recordEnd(life, sandbox)
    if (sandbox.state === 'running' || sandbox.state === 'paused')
      logger.warn({ sandboxId: sandbox.sandboxId }, 'a sandbox was lost: its machine is gone')
  }
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
