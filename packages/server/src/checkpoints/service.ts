import { randomUUID } from 'node:crypto'
import { newCheckpointId, SandlotError } from '@sandlot/protocol'
import type { FileDiff } from '@sandlot/protocol/node'
import { lifecycleEvent } from '../events/events.ts'
import type { SandboxOperations } from '../sandboxes/operations.ts'
import type { KeepPolicy, LiveSandbox } from '../sandboxes/sandbox.ts'
import type { CheckpointReason } from '../sandboxes/state.ts'
import { snapshotIdOf } from '../snapshots/snapshot.ts'
import { isAway } from '../store/transactions.ts'
import { TEAM_LIMITS } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import type { StorageUsage } from '../usage/service.ts'
import { noCheckpoint } from './errors.ts'
import type { CheckpointRecord, CheckpointRepository, NewCheckpoint } from './repository.ts'

/** Policy of sandboxes for which no other was set. */
export const DEFAULT_KEEP: KeepPolicy = { last: TEAM_LIMITS.checkpointsOfSandbox }

export interface SandboxDiff extends FileDiff {
  fromId: string
  toId: string
}

export interface TreeNode extends CheckpointRecord {
  /** The sandbox is paused as this checkpoint, or has continued from it. */
  isHead: boolean
  /** Names of snapshots that refer to this checkpoint. */
  names: string[]
}

export interface SavedSandbox {
  sandbox: LiveSandbox
  checkpointId: string
  /** How long the sandbox was frozen while it was saved. */
  stoppedMs: number
}

/** Creates and deletes the checkpoints of sandboxes, applies keep policies, and shows their tree and differences. */
export class CheckpointService {
  readonly #operations: SandboxOperations
  readonly #repository: CheckpointRepository
  readonly #storage: StorageUsage

  constructor(operations: SandboxOperations, repository: CheckpointRepository, storage: StorageUsage) {
    this.#operations = operations
    this.#repository = repository
    this.#storage = storage
  }

  /**
   * Creates a checkpoint that the sandbox can be rolled back to; no template refers to it. @throws SandlotError conflict
   * while the sandbox is paused
   */
  async create(team: Team, sandboxId: string): Promise<TreeNode> {
    const { checkpointId } = await this.save(team, sandboxId, 'checkpoint')
    return (await this.tree(team, sandboxId)).find((node) => node.checkpointId === checkpointId)!
  }

  /**
   * Saves a running sandbox, which keeps running. @throws SandlotError conflict while the sandbox is paused,
   * quota_exceeded
   */
  save(team: Team, sandboxId: string, why: CheckpointReason, hasMemory = true): Promise<SavedSandbox> {
    this.#operations.get(team, sandboxId)
    return this.#operations.exclusively(sandboxId, async () => {
      if (why !== 'fork') await this.#storage.checkQuota(team)
      const sandbox = this.#running(team, sandboxId)
      const checkpoint = this.newCheckpoint(sandbox, why, { hasMemory })
      const { checkpointId } = checkpoint
      try {
        await this.#repository.insert(checkpoint)
        const saved = await this.#operations.node.snapshot(sandbox.machineId, checkpointId, {
          isTransient: why === 'fork',
          hasMemory,
        })
        await this.#repository.complete(saved)
        if (why !== 'fork') await this.#setHead(sandbox, why, saved)
        return { sandbox, checkpointId, stoppedMs: saved.stoppedMs }
      } catch (error) {
        await this.remove(checkpointId)
        throw error
      }
    })
  }

  #running(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.#operations.get(team, sandboxId)
    if (sandbox.state !== 'running')
      throw new SandlotError('conflict', `Sandbox "${sandboxId}" is paused: resume it first`)
    return sandbox
  }

  async #setHead(
    sandbox: LiveSandbox,
    why: CheckpointReason,
    saved: { checkpointId: string; sizeBytes: number; stoppedMs: number },
  ): Promise<void> {
    const { checkpointId, sizeBytes, stoppedMs } = saved
    const event = lifecycleEvent('checkpointed', sandbox, this.#operations.now(), {
      checkpoint: { id: checkpointId, why, size_bytes: sizeBytes, stopped_ms: stoppedMs },
    })
    await this.#operations.write(sandbox, () =>
      this.#operations.repository.setHead(sandbox, checkpointId, event),
    )
    sandbox.checkpointId = checkpointId
    this.prune(sandbox)
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
      createdAtMs: this.#operations.now(),
    }
  }

  /** Lists the checkpoints of a sandbox, oldest first. */
  async tree(team: Team, sandboxId: string): Promise<TreeNode[]> {
    const sandbox = this.#operations.get(team, sandboxId)
    const names = new Map<string, string[]>()
    for (const template of this.#operations.templates.visibleTo(team))
      for (const [tag, build] of template.tags)
        if ('checkpointId' in build) {
          const id = build.checkpointId as string
          names.set(id, [...(names.get(id) ?? []), snapshotIdOf(template, tag, team.slug)])
        }
    return (await this.#repository.lasting(sandboxId)).map((checkpoint) => ({
      ...checkpoint,
      isHead: checkpoint.checkpointId === sandbox.checkpointId,
      names: names.get(checkpoint.checkpointId) ?? [],
    }))
  }

  /**
   * Compares the files of two checkpoints of a sandbox.
   * @param toId default: the newest
   * @param fromId default: the parent of `toId`
   * @param signal aborted when the caller has disconnected
   * @throws SandlotError not_found, checkpoint_not_found, invalid_request: there are fewer than two, rate_limited,
   * quota_exceeded
   */
  async diff(
    team: Team,
    sandboxId: string,
    fromId?: string,
    toId?: string,
    signal?: AbortSignal,
  ): Promise<SandboxDiff> {
    const nodes = await this.tree(team, sandboxId)
    const find = (id: string): TreeNode => {
      const found = nodes.find(({ checkpointId }) => checkpointId === id)
      if (found) return found
      throw noCheckpoint(sandboxId, id)
    }
    const to = toId === undefined ? nodes.at(-1) : find(toId)
    // the first checkpoint of a fork has a parent that belongs to the forked sandbox
    const parent = nodes.find(({ checkpointId }) => checkpointId === to?.parentId)
    const from = fromId ?? parent?.checkpointId
    if (!to || from === undefined)
      throw new SandlotError(
        'invalid_request',
        `sandbox '${sandboxId}' has no two checkpoints to compare yet`,
      )
    const before = find(from)
    const release = this.#operations.limits.reserveDiff(team)
    try {
      const diff = await this.#cancellableDiff(team, before.checkpointId, to.checkpointId, signal)
      return { ...diff, fromId: from, toId: to.checkpointId }
    } finally {
      release()
    }
  }

  /** @param signal cancels the work on the node */
  async #cancellableDiff(team: Team, fromId: string, toId: string, signal?: AbortSignal): Promise<FileDiff> {
    const { node, logger } = this.#operations
    const operationId = randomUUID()
    const cancel = () =>
      void node.cancelDiff(operationId).catch((err) => logger.warn({ err }, 'a diff was not cancelled'))
    signal?.throwIfAborted()
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await node.diff(fromId, toId, { owner: team.teamId, operationId })
    } finally {
      signal?.removeEventListener('abort', cancel)
    }
  }

  /** Finds the newest checkpoint that is older than the one that a sandbox would be resumed from. */
  async before(sandbox: LiveSandbox): Promise<CheckpointRecord | undefined> {
    const all = await this.#repository.lasting(sandbox.sandboxId)
    return all[all.findIndex(({ checkpointId }) => checkpointId === sandbox.checkpointId) - 1]
  }

  async setKeep(team: Team, sandboxId: string, keep: KeepPolicy): Promise<void> {
    this.#operations.get(team, sandboxId)
    await this.#operations.exclusively(sandboxId, async () => {
      const sandbox = this.#operations.get(team, sandboxId)
      const settings = { ...sandbox.settings, keep }
      await this.#operations.write(sandbox, () =>
        this.#operations.repository.setSettings({ ...sandbox, settings }),
      )
      sandbox.settings = settings
      this.prune(sandbox)
    })
  }

  /** Deletes in the background what a sandbox's keep policy does not cover, except snapshots. */
  prune(sandbox: LiveSandbox): void {
    const { last, maxAgeSeconds = Number.POSITIVE_INFINITY } = sandbox.settings.keep ?? DEFAULT_KEEP
    this.#operations.inBackground('deleting old checkpoints', async () => {
      const older = (await this.#repository.lasting(sandbox.sandboxId))
        .filter(({ checkpointId }) => checkpointId !== sandbox.checkpointId)
        .filter(({ checkpointId }) => !this.#operations.templates.isSnapshot(checkpointId))
        .reverse()
      const oldestMs = this.#operations.now() - maxAgeSeconds * 1000
      for (const [index, { checkpointId, createdAtMs }] of older.entries())
        if (index >= last || createdAtMs < oldestMs) await this.removeUnlessHead(sandbox, checkpointId)
    })
  }

  /** Deletes a checkpoint of a sandbox, unless the sandbox is saved as that checkpoint or was rolled back to it meanwhile. */
  async removeUnlessHead(sandbox: LiveSandbox, checkpointId: string): Promise<void> {
    const isUnused = await this.#operations.exclusively(sandbox.sandboxId, async () => {
      if (checkpointId === sandbox.checkpointId && sandbox.state !== 'killed') return false
      // from now on no rollback finds the checkpoint
      await this.#markDeleting(checkpointId)
      return true
    })
    if (isUnused) await this.#eventuallyDelete(checkpointId, () => this.#deleteMarked(checkpointId))
  }

  /**
   * Deletes the checkpoints of a killed sandbox, except snapshots.
   * @param elsewhereId checkpoint that another machine uses, which stays in the bucket
   */
  async removeAllOf(sandboxId: string, elsewhereId?: string): Promise<void> {
    for (const { checkpointId } of await this.#repository.of(sandboxId)) {
      if (this.#operations.templates.isSnapshot(checkpointId)) continue
      if (checkpointId !== elsewhereId) await this.remove(checkpointId)
      else {
        await this.#operations.node.dropLocalCheckpoint(checkpointId)
        await this.#repository.remove(checkpointId)
      }
    }
  }

  /**
   * Deletes a checkpoint, and retries until the deletion succeeds. The intention is recorded first, so that the next
   * start finishes the deletion after a crash; a database that is away delays the deletion. A full disk does not stop a
   * deletion, which frees space: a row without files is harmless.
   */
  async remove(checkpointId: string): Promise<void> {
    await this.#eventuallyDelete(checkpointId, async () => {
      await this.#markDeleting(checkpointId)
      await this.#deleteMarked(checkpointId)
    })
  }

  #eventuallyDelete(checkpointId: string, work: () => Promise<void>): Promise<void> {
    return this.#operations.eventually(`deleting checkpoint ${checkpointId}`, work)
  }

  async #markDeleting(checkpointId: string): Promise<void> {
    await this.#repository.setDeleting(checkpointId).catch((err) => {
      if (isAway(err)) throw err
      this.#operations.logger.warn(
        { err, checkpointId },
        'the intention to delete a checkpoint was not recorded',
      )
    })
  }

  async #deleteMarked(checkpointId: string): Promise<void> {
    await this.#operations.node.removeCheckpoint(checkpointId)
    await this.#repository.remove(checkpointId)
  }
}
