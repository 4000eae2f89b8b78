import { randomUUID } from 'node:crypto'
import { SandlotError } from '@sandlot/protocol'
import type { FileDiff } from '@sandlot/protocol/node'
import { within } from '../concurrency/within.ts'
import { lifecycleEvent } from '../events/events.ts'
import { toSnapshot } from '../sandboxes/forks.ts'
import type { Life } from '../sandboxes/operations.ts'
import type { KeepPolicy, LiveSandbox } from '../sandboxes/sandbox.ts'
import { networkPolicyOf } from '../sandboxes/settings.ts'
import type { Handovers } from '../takeover/service.ts'
import type { Team } from '../teams/team.ts'
import type { CheckpointRecord, CheckpointRepository } from './repository.ts'
import type { Checkpoints } from './service.ts'

const STOP_TIMEOUT_MS = 20_000

export interface SandboxDiff extends FileDiff {
  fromId: string
  toId: string
}

export interface TreeNode extends CheckpointRecord {
  /** The sandbox descends from it directly: it is paused as it, or ran on from it. */
  isHead: boolean
  /** It is a snapshot too, under these names. */
  names: string[]
}

/** Where a sandbox has been: the tree of its checkpoints, what changed between two, and the way back to one. */
export class History {
  readonly #life: Life
  readonly #checkpoints: Checkpoints
  readonly #repository: CheckpointRepository
  readonly #handovers: Handovers

  constructor(life: Life, checkpoints: Checkpoints, repository: CheckpointRepository, handovers: Handovers) {
    this.#life = life
    this.#checkpoints = checkpoints
    this.#repository = repository
    this.#handovers = handovers
  }

  /** A point to come back to, without a template. @throws SandlotError conflict while it is paused */
  async createCheckpoint(team: Team, sandboxId: string): Promise<TreeNode> {
    const { checkpointId } = await this.#checkpoints.save(team, sandboxId, 'checkpoint')
    return (await this.tree(team, sandboxId)).find((node) => node.checkpointId === checkpointId)!
  }

  /** Oldest first. */
  async tree(team: Team, sandboxId: string): Promise<TreeNode[]> {
    const sandbox = this.#life.get(team, sandboxId)
    const names = new Map<string, string[]>()
    for (const template of this.#life.catalogue.visibleTo(team))
      for (const [tag, build] of template.tags)
        if ('checkpointId' in build) {
          const { snapshotId } = toSnapshot(template.templateId, template.name, tag, team.slug)
          const id = build.checkpointId as string
          names.set(id, [...(names.get(id) ?? []), snapshotId])
        }
    return (await this.#repository.of(sandboxId))
      .filter(({ isComplete }) => isComplete)
      .map((checkpoint) => ({
        ...checkpoint,
        isHead: checkpoint.checkpointId === sandbox.checkpointId,
        names: names.get(checkpoint.checkpointId) ?? [],
      }))
  }

  /**
   * @param toId absent: the newest @param fromId absent: what `toId` came from
   * @param signal aborted when nobody wants to know any more
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
    // what a fork came from first is its source's
    const parent = nodes.find(({ checkpointId }) => checkpointId === to?.parentId)
    const from = fromId ?? parent?.checkpointId
    if (!to || from === undefined)
      throw new SandlotError(
        'invalid_request',
        `sandbox '${sandboxId}' has no two checkpoints to compare yet`,
      )
    const before = find(from)
    const release = this.#life.limits.reserveDiff(team)
    const { node, logger } = this.#life
    const operationId = randomUUID()
    const cancel = () =>
      void node.cancelDiff(operationId).catch((err) => logger.warn({ err }, 'a diff was not cancelled'))
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      signal?.throwIfAborted()
      const options = { owner: team.teamId, operationId }
      const diff = await node.diff(before.checkpointId, to.checkpointId, options)
      return { ...diff, fromId: from, toId: to.checkpointId }
    } finally {
      signal?.removeEventListener('abort', cancel)
      release()
    }
  }

  /** Takes a sandbox back to an earlier checkpoint of its own; what happened since is gone. */
  async rollback(team: Team, sandboxId: string, checkpointId: string): Promise<LiveSandbox> {
    this.#life.get(team, sandboxId)
    const release = this.#life.limits.reserveRollback(team)
    try {
      return await this.#rollBack(team, sandboxId, checkpointId)
    } finally {
      release()
    }
  }

  #rollBack(team: Team, sandboxId: string, checkpointId: string): Promise<LiveSandbox> {
    return this.#life.exclusively(sandboxId, async () => {
      const { node, repository, registry, now } = this.#life
      const sandbox = this.#life.get(team, sandboxId)
      const checkpoint = await this.#repository.find(checkpointId)
      if (checkpoint?.sandboxId !== sandboxId || !checkpoint.isComplete)
        throw noCheckpoint(sandboxId, checkpointId)
      const event = (of: LiveSandbox) =>
        lifecycleEvent('updated', of, now(), { rollback: { checkpoint_id: checkpointId } })
      if (sandbox.state === 'paused') {
        // its frozen memory is a later one: a crash must not find it beside the older checkpoint
        await node.stop(sandbox.machineId)
        await repository.setHead(sandboxId, checkpointId, event(sandbox))
        sandbox.checkpointId = checkpointId
        const { hasMemory, isGuestUnresponsive = false } = checkpoint
        sandbox.saved = { hasMemory, isGuestUnresponsive }
        this.#handovers.owe(sandbox)
        return sandbox
      }
      const { machineId, address } = await node.resume(checkpointId, {
        hasMemory: checkpoint.hasMemory,
        owner: team.teamId,
        network: networkPolicyOf(sandbox.settings),
      })
      const before = sandbox.machineId
      const rolledBack: LiveSandbox = {
        ...sandbox,
        machineId,
        address,
        executionId: randomUUID(),
        checkpointId,
      }
      try {
        await node.init(machineId, this.#life.initOf(rolledBack))
        await repository.setResumed(rolledBack, event(rolledBack))
      } catch (error) {
        this.#life.later('stopping a half rolled back machine', () => node.stop(machineId), 0)
        throw error
      }
      registry.hide(sandboxId, 'rolled back')
      registry.replace(sandbox, rolledBack)
      registry.show(sandbox)
      this.#life.endIfExited(sandbox)
      await within(STOP_TIMEOUT_MS, node.stop(before)).catch(() =>
        this.#life.later('stopping a machine that was rolled back', () => node.stop(before)),
      )
      return sandbox
    })
  }

  async setKeep(team: Team, sandboxId: string, keep: KeepPolicy): Promise<void> {
    this.#life.get(team, sandboxId)
    await this.#life.exclusively(sandboxId, async () => {
      const sandbox = this.#life.get(team, sandboxId)
      sandbox.settings.keep = keep
      await this.#life.repository.setSettings(sandbox)
      this.#checkpoints.prune(sandbox)
    })
  }

  /** The newest that is older than what a sandbox would be resumed from. */
  async before(sandbox: LiveSandbox): Promise<CheckpointRecord | undefined> {
    const all = (await this.#repository.of(sandbox.sandboxId)).filter(({ isComplete }) => isComplete)
    return all[all.findIndex(({ checkpointId }) => checkpointId === sandbox.checkpointId) - 1]
  }
}

const noCheckpoint = (sandboxId: string, checkpointId: string): SandlotError =>
  new SandlotError(
    'checkpoint_not_found',
    `sandbox '${sandboxId}' has no checkpoint '${checkpointId.slice(0, 100)}'; its tree lists them`,
  )
