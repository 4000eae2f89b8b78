import { randomUUID } from 'node:crypto'
import { noCheckpoint } from '../checkpoints/errors.ts'
import { type CheckpointRecord, type CheckpointRepository, isLasting } from '../checkpoints/repository.ts'
import { within } from '../concurrency/within.ts'
import { lifecycleEvent } from '../events/events.ts'
import { mayHaveWritten } from '../store/open-store.ts'
import type { Takeovers } from '../takeover/service.ts'
import type { Team } from '../teams/team.ts'
import { initOf, type SandboxLifecycle, STOP_TIMEOUT_MS } from './lifecycle.ts'
import { networkPolicyOf } from './network-policy.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'

/** Rolls sandboxes back to one of their own checkpoints; all later changes are lost. */
export class Rollbacks {
  readonly #operations: SandboxOperations
  readonly #lifecycle: SandboxLifecycle
  readonly #checkpoints: CheckpointRepository
  readonly #takeovers: Takeovers

  constructor(
    operations: SandboxOperations,
    lifecycle: SandboxLifecycle,
    checkpoints: CheckpointRepository,
    takeovers: Takeovers,
  ) {
    this.#operations = operations
    this.#lifecycle = lifecycle
    this.#checkpoints = checkpoints
    this.#takeovers = takeovers
  }

  /** @throws SandlotError not_found, checkpoint_not_found, rate_limited: too many at a time */
  async rollback(team: Team, sandboxId: string, checkpointId: string): Promise<LiveSandbox> {
    this.#operations.get(team, sandboxId)
    const release = this.#operations.limits.reserveRollback(team)
    try {
      return await this.#operations.exclusively(sandboxId, async () => {
        const sandbox = this.#operations.get(team, sandboxId)
        const checkpoint = await this.#checkpoints.find(checkpointId)
        if (checkpoint?.sandboxId !== sandboxId || !isLasting(checkpoint))
          throw noCheckpoint(sandboxId, checkpointId)
        return sandbox.state === 'paused'
          ? await this.#rollBackPaused(sandbox, checkpoint)
          : await this.#rollBackRunning(team, sandbox, checkpoint)
      })
    } finally {
      release()
    }
  }

  async #rollBackPaused(sandbox: LiveSandbox, checkpoint: CheckpointRecord): Promise<LiveSandbox> {
    const { node, repository } = this.#operations
    const { checkpointId, hasMemory, isGuestUnresponsive = false } = checkpoint
    // the machine's frozen memory is newer: a crash must not leave that memory beside the older checkpoint
    await node.stop(sandbox.machineId)
    await this.#operations.write(sandbox, () =>
      repository.setHead(sandbox, checkpointId, this.#event(sandbox, checkpointId)),
    )
    sandbox.checkpointId = checkpointId
    sandbox.saved = { hasMemory, isGuestUnresponsive }
    this.#takeovers.markDirty(sandbox)
    return sandbox
  }

  async #rollBackRunning(
    team: Team,
    sandbox: LiveSandbox,
    { checkpointId, hasMemory }: CheckpointRecord,
  ): Promise<LiveSandbox> {
    const { node, repository, registry } = this.#operations
    const { machineId, address } = await node.resume(checkpointId, {
      hasMemory,
      owner: team.teamId,
      sandboxId: sandbox.sandboxId,
      network: networkPolicyOf(sandbox.settings),
      volumes: sandbox.settings.volumeMounts,
    })
    const before = sandbox.machineId
    const executionId = randomUUID()
    const rolledBack: LiveSandbox = { ...sandbox, machineId, address, executionId, checkpointId }
    let mayBeRecorded = false
    try {
      await node.init(machineId, initOf(rolledBack))
      await repository.setResumed(rolledBack, this.#event(rolledBack, checkpointId)).catch((error) => {
        mayBeRecorded = mayHaveWritten(error)
        throw error
      })
    } catch (error) {
      await this.#lifecycle.undoRun(sandbox, machineId, mayBeRecorded)
      throw error
    }
    registry.hide(sandbox.sandboxId, 'rolled back')
    registry.replace(sandbox, rolledBack)
    registry.show(sandbox)
    this.#lifecycle.endIfExited(sandbox)
    await within(STOP_TIMEOUT_MS, node.stop(before)).catch(() =>
      this.#operations.later('stopping the machine before a rollback', () => node.stop(before)),
    )
    return sandbox
  }

  #event(sandbox: LiveSandbox, checkpointId: string) {
    return lifecycleEvent('updated', sandbox, this.#operations.now(), {
      rollback: { checkpoint_id: checkpointId },
    })
  }
}
