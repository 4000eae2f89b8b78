import { newCheckpointId, SandlotError } from '@sandlot/protocol'
import { lifecycleEvent } from '../events/events.ts'
import type { Life } from '../sandboxes/operations.ts'
import type { KeepPolicy, LiveSandbox } from '../sandboxes/sandbox.ts'
import type { CheckpointReason } from '../sandboxes/state.ts'
import type { Storage } from '../teams/storage.ts'
import type { Team } from '../teams/team.ts'
import type { CheckpointRepository, NewCheckpoint } from './repository.ts'

export const DEFAULT_KEEP: KeepPolicy = { last: 3 }

/** How checkpoints of sandboxes come and go, whatever they are for. */
export class Checkpoints {
  readonly #life: Life
  readonly #repository: CheckpointRepository
  readonly #storage: Storage

  constructor(life: Life, repository: CheckpointRepository, storage: Storage) {
    this.#life = life
    this.#repository = repository
    this.#storage = storage
  }

  /** Saves a running sandbox, which goes on. */
  save(
    team: Team,
    sandboxId: string,
    why: CheckpointReason,
    hasMemory = true,
  ): Promise<{ sandbox: LiveSandbox; checkpointId: string; stoppedMs: number }> {
    this.#life.get(team, sandboxId)
    return this.#life.exclusively(sandboxId, async () => {
      const { node, repository, now } = this.#life
      if (why !== 'fork') await this.#storage.checkQuota(team)
      const sandbox = this.#running(team, sandboxId)
      const checkpoint = this.newCheckpoint(sandbox, why, { hasMemory })
      const { checkpointId } = checkpoint
      await this.#repository.insert(checkpoint)
      try {
        const saved = await node.snapshot(sandbox.machineId, checkpointId, {
          isTransient: why === 'fork',
          hasMemory,
        })
        await this.#repository.complete(saved)
        if (why !== 'fork') {
          const event = lifecycleEvent('checkpointed', sandbox, now(), {
            checkpoint: { id: checkpointId, why, size_bytes: saved.sizeBytes, stopped_ms: saved.stoppedMs },
          })
          await repository.setHead(sandboxId, checkpointId, event)
          sandbox.checkpointId = checkpointId
          this.prune(sandbox)
        }
        return { sandbox, checkpointId, stoppedMs: saved.stoppedMs }
      } catch (error) {
        await this.remove(checkpointId)
        throw error
      }
    })
  }

  #running(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.#life.get(team, sandboxId)
    if (sandbox.state !== 'running')
      throw new SandlotError('conflict', `Sandbox "${sandboxId}" is paused: resume it first`)
    return sandbox
  }

  newCheckpoint(
    sandbox: LiveSandbox,
    why: CheckpointReason,
    { hasMemory, isGuestUnresponsive }: Pick<NewCheckpoint, 'hasMemory' | 'isGuestUnresponsive'>,
  ): NewCheckpoint {
    return {
      checkpointId: newCheckpointId(),
      teamId: sandbox.teamId,
      sandboxId: sandbox.sandboxId,
      parentId: sandbox.checkpointId,
      why,
      hasMemory,
      isGuestUnresponsive,
      createdAtMs: this.#life.now(),
    }
  }

  /** Nobody waits for it. Snapshots are not the sandbox's to delete. */
  prune(sandbox: LiveSandbox): void {
    const { last, maxAgeSeconds = Number.POSITIVE_INFINITY } = sandbox.settings.keep ?? DEFAULT_KEEP
    this.#life.inBackground('deleting old checkpoints', async () => {
      const older = (await this.#repository.of(sandbox.sandboxId))
        .filter(({ isComplete, checkpointId }) => isComplete && checkpointId !== sandbox.checkpointId)
        .filter(({ checkpointId }) => !this.#life.catalogue.isSnapshot(checkpointId))
        .reverse()
      const oldestMs = this.#life.now() - maxAgeSeconds * 1000
      for (const [index, { checkpointId, createdAtMs }] of older.entries())
        if (index >= last || createdAtMs < oldestMs) await this.remove(checkpointId)
    })
  }

  /**
   * A killed sandbox takes its past with it, but for snapshots.
   * @param elsewhereId the checkpoint that another machine goes on from: it stays in the bucket
   */
  async forget(sandboxId: string, elsewhereId?: string): Promise<void> {
    for (const { checkpointId } of await this.#repository.of(sandboxId)) {
      if (this.#life.catalogue.isSnapshot(checkpointId)) continue
      if (checkpointId !== elsewhereId) await this.remove(checkpointId)
      else {
        await this.#life.node.dropLocalCheckpoint(checkpointId)
        await this.#repository.remove(checkpointId)
      }
    }
  }

  /**
   * Written before it is done, so that a crash leaves nothing behind. A full disk must not keep it from being done: it
   * frees space, and a row without files is harmless.
   */
  async remove(checkpointId: string): Promise<void> {
    const { node, logger } = this.#life
    await this.#life.eventually(`deleting checkpoint ${checkpointId}`, async () => {
      await this.#repository
        .setDeleting(checkpointId)
        .catch((err) => logger.warn({ err, checkpointId }, 'that it is being deleted could not be written'))
      await node.removeCheckpoint(checkpointId)
      await this.#repository.remove(checkpointId)
    })
  }
}
