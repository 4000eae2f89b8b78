import { randomUUID } from 'node:crypto'
import { SandlotError } from '@sandlot/protocol'
import type { CheckpointInfo } from '@sandlot/protocol/node'
import type { CheckpointService } from '../checkpoints/service.ts'
import { lifecycleEvent } from '../events/events.ts'
import { mayHaveWritten } from '../store/open-store.ts'
import type { Takeovers } from '../takeover/service.ts'
import type { Team } from '../teams/team.ts'
import type { Deadlines } from './deadlines.ts'
import { initOf, type SandboxLifecycle } from './lifecycle.ts'
import { networkPolicyOf } from './network-policy.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import { become, type CheckpointReason } from './state.ts'

/** Delay before the retry of a pause that failed at the deadline. */
const PAUSE_RETRY_MS = 30_000
/**
 * Tries to save the memory at the deadline when a file of a volume stands in the way. A sandbox that nobody uses must not run
 * for ever, so its files alone are saved afterwards.
 */
const MEMORY_TRIES = 3

export interface PauseOptions {
  hasMemory: boolean
  /** Refuses to pause a sandbox whose envd does not answer. Implied by a pause without memory. */
  mustBeHealthy: boolean
}

export interface PausesOptions {
  operations: SandboxOperations
  lifecycle: SandboxLifecycle
  deadlines: Deadlines
  checkpoints: CheckpointService
  takeovers: Takeovers
}

/** Pauses sandboxes and resumes them. Every step is recorded in a row before it is done. */
export class Pauses {
  readonly #operations: SandboxOperations
  readonly #lifecycle: SandboxLifecycle
  readonly #deadlines: Deadlines
  readonly #checkpoints: CheckpointService
  readonly #takeovers: Takeovers

  constructor({ operations, lifecycle, deadlines, checkpoints, takeovers }: PausesOptions) {
    this.#operations = operations
    this.#lifecycle = lifecycle
    this.#deadlines = deadlines
    this.#checkpoints = checkpoints
    this.#takeovers = takeovers
  }

  /** @throws SandlotError conflict: the sandbox is paused already, sandbox_guest_unresponsive, not_found, disk_full, checkpoint_blocked, checkpoint_failed */
  pause(team: Team, sandboxId: string, { hasMemory, mustBeHealthy }: PauseOptions): Promise<void> {
    this.#operations.get(team, sandboxId)
    return this.#operations.exclusively(sandboxId, async () => {
      const sandbox = this.#operations.get(team, sandboxId)
      if (sandbox.state !== 'running')
        throw new SandlotError('conflict', `Sandbox "${sandboxId}" is already paused`)
      const isHealthy = await this.#operations.node.isGuestHealthy(sandbox.machineId)
      if (!isHealthy && (mustBeHealthy || !hasMemory)) throw guestUnresponsive(sandboxId, hasMemory)
      await this.#pause(sandbox, 'pause', hasMemory, isHealthy)
    })
  }

  /** Pauses a sandbox at its deadline. A sandbox that cannot be saved now keeps running, and the pause is retried. */
  autoPause(sandboxId: string, hasMemory: boolean): void {
    const { node, registry, logger, now } = this.#operations
    const pause = () =>
      this.#operations.exclusively(sandboxId, async () => {
        const sandbox = registry.get(sandboxId)
        if (!sandbox || !this.#deadlines.isOver(sandbox)) return
        // an unresponsive guest does not delay the pause: code in a sandbox must not be able to postpone the deadline
        const isHealthy = await node.isGuestHealthy(sandbox.machineId)
        const lost = hasMemory ? memoryLost(sandbox) : undefined
        await this.#pause(sandbox, 'auto-pause', hasMemory && lost === undefined, isHealthy, lost)
      })
    pause().catch((err) => {
      logger.error({ err, sandboxId }, 'a sandbox could not be paused at its deadline and keeps running')
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'running') return
      if (err instanceof SandlotError && err.errorName === 'checkpoint_blocked')
        sandbox.blockedPauses = { count: (sandbox.blockedPauses?.count ?? 0) + 1, reason: err.message }
      this.#deadlines.set(sandbox, now() + PAUSE_RETRY_MS)
    })
  }

  async #pause(
    sandbox: LiveSandbox,
    why: CheckpointReason,
    hasMemory: boolean,
    isHealthy: boolean,
    memoryLost?: string,
  ): Promise<void> {
    const { node, repository, registry, now } = this.#operations
    const { sandboxId } = sandbox
    const savedAs = { hasMemory, isGuestUnresponsive: hasMemory && !isHealthy }
    const checkpoint = this.#checkpoints.newCheckpoint(sandbox, why, savedAs)
    const { checkpointId } = checkpoint
    await repository.setPausing(sandboxId, checkpoint).catch((error) => {
      if (mayHaveWritten(error))
        this.#operations.correctRow(sandbox, () => repository.undoPausing(sandbox, checkpointId))
      throw error
    })
    become(sandbox, 'pausing')
    registry.suspend(sandbox)
    let saved: CheckpointInfo
    try {
      // nobody is there at a deadline who could end a process that stands in the way
      const mayKill = why === 'auto-pause'
      saved = await node.pause(sandbox.machineId, checkpointId, { hasMemory, mayKill })
    } catch (error) {
      await this.#undoPause(sandbox, checkpointId)
      throw error
    }
    this.#deadlines.delete(sandboxId)
    become(sandbox, 'paused')
    sandbox.checkpointId = checkpointId
    sandbox.saved = savedAs
    sandbox.pausedAtMs = now()
    sandbox.blockedPauses = undefined
    registry.show(sandbox)
    this.#takeovers.markDirty(sandbox)
    const event = lifecycleEvent('paused', sandbox, sandbox.pausedAtMs, {
      pause_reason: why === 'auto-pause' ? 'timeout' : 'request',
      checkpoint: { id: checkpointId, memory: hasMemory, size_bytes: saved.sizeBytes },
      ...(memoryLost !== undefined && { memory_lost: memoryLost }),
    })
    // the row says `pausing` and the checkpoint is complete, so a restart of the server would finish the pause in the
    // same way
    await this.#operations.eventually(`recording the pause of sandbox ${sandboxId}`, () =>
      repository.setPaused(sandbox, saved, event),
    )
    this.#checkpoints.prune(sandbox)
  }

  async #undoPause(sandbox: LiveSandbox, checkpointId: string): Promise<void> {
    const { node, repository, registry } = this.#operations
    become(sandbox, 'running')
    registry.show(sandbox)
    await this.#operations.eventually(`undoing the pause of sandbox ${sandbox.sandboxId}`, () =>
      repository.undoPausing(sandbox, checkpointId),
    )
    // a node that does not answer reports the exit later
    const isGone = await node.status(sandbox.machineId).then(
      (status) => status === undefined,
      () => false,
    )
    if (isGone) this.#lifecycle.endInBackground(sandbox.sandboxId, 'exited: while it was saved')
  }

  /**
   * Resumes a paused sandbox, and extends the time of a running one.
   * @param seconds that the sandbox lives from now
   * @param hasMemory false: boots from the file system
   */
  async connect(
    team: Team,
    sandboxId: string,
    seconds: number,
    hasMemory = true,
  ): Promise<{ sandbox: LiveSandbox; isResumed: boolean }> {
    this.#operations.checkNotKilling(team, sandboxId)
    this.#operations.limits.checkLength(team, seconds)
    const seen = this.#operations.get(team, sandboxId)
    const isLongEnough = this.#operations.now() + seconds * 1000 <= seen.endAtMs
    if (seen.state === 'running' && isLongEnough) return { sandbox: seen, isResumed: false }
    return this.#operations.exclusively(sandboxId, async () => {
      const sandbox = this.#operations.get(team, sandboxId)
      if (sandbox.state === 'paused') {
        await this.resumeLocked(sandbox, team, seconds, hasMemory, 'request')
        return { sandbox, isResumed: true }
      }
      await this.#deadlines.extendLocked(sandbox, seconds)
      return { sandbox, isResumed: false }
    })
  }

  /** Resumes a paused sandbox, for the old route. @throws SandlotError conflict while the sandbox runs */
  resume(team: Team, sandboxId: string, seconds: number, hasMemory = true): Promise<LiveSandbox> {
    this.#operations.get(team, sandboxId)
    this.#operations.limits.checkLength(team, seconds)
    return this.#operations.exclusively(sandboxId, async () => {
      const sandbox = this.#operations.get(team, sandboxId)
      if (sandbox.state !== 'paused')
        throw new SandlotError('conflict', `Sandbox "${sandboxId}" is already running`)
      await this.resumeLocked(sandbox, team, seconds, hasMemory, 'request')
      return sandbox
    })
  }

  /** Resumes a paused sandbox for a caller that holds the sandbox's lock. */
  async resumeLocked(
    sandbox: LiveSandbox,
    team: Team,
    seconds: number,
    hasMemory: boolean,
    why: 'request' | 'traffic',
  ): Promise<void> {
    const { node, repository, registry, now } = this.#operations
    if (hasMemory && sandbox.saved?.isGuestUnresponsive) throw memoryUnresponsive(sandbox.sandboxId)
    const release = this.#operations.limits.reserve(team)
    try {
      await this.#takeovers.claim(sandbox)
      const { machineId, address, how, reason } = await node
        .resume(sandbox.checkpointId!, {
          hasMemory,
          machineId: sandbox.machineId,
          owner: team.teamId,
          sandboxId: sandbox.sandboxId,
          network: networkPolicyOf(sandbox.settings),
          volumes: sandbox.settings.volumeMounts,
        })
        .catch((error) => this.#offerOlder(sandbox, error))
      const resumed: LiveSandbox = { ...sandbox, machineId, address, executionId: randomUUID() }
      let mayBeRecorded = false
      try {
        if (how !== 'hot') await node.init(machineId, initOf(resumed))
        resumed.startedAtMs = now()
        resumed.endAtMs = resumed.startedAtMs + seconds * 1000
        const data = { resume_reason: why, memory: how !== 'booted', ...(reason && { fallback: reason }) }
        const event = lifecycleEvent('resumed', resumed, resumed.startedAtMs, data)
        await repository.setResumed(resumed, event).catch((error) => {
          mayBeRecorded = mayHaveWritten(error)
          throw error
        })
        mayBeRecorded = true
        if (how === 'hot') await node.thaw(machineId)
      } catch (error) {
        await this.#lifecycle.undoRun(sandbox, machineId, mayBeRecorded)
        throw error
      }
      registry.replace(sandbox, resumed)
      become(sandbox, 'running')
      sandbox.pausedAtMs = undefined
      registry.show(sandbox)
      this.#deadlines.set(sandbox)
      this.#lifecycle.endIfExited(sandbox)
    } finally {
      release()
    }
  }

  /**
   * Names an older checkpoint when the newest is damaged. Only the owner may decide to use it, because later changes are
   * lost.
   */
  async #offerOlder(sandbox: LiveSandbox, error: unknown): Promise<never> {
    if (!(error instanceof SandlotError) || error.errorName !== 'checkpoint_damaged') throw error
    const older = await this.#checkpoints.before(sandbox)
    const offer = older
      ? `the one before it is '${older.checkpointId}' of ${new Date(older.createdAtMs).toISOString()}: ` +
        `POST /sandboxes/${sandbox.sandboxId}/rollback {"checkpointID":"${older.checkpointId}"}, then connect again`
      : 'there is no older one'
    throw new SandlotError('checkpoint_damaged', `${error.message}; ${offer}`, { cause: error })
  }
}

/** @returns why the memory of a sandbox is given up at its deadline; undefined: it is to be saved */
const memoryLost = ({ blockedPauses }: LiveSandbox): string | undefined =>
  blockedPauses && blockedPauses.count >= MEMORY_TRIES ? blockedPauses.reason : undefined

const guestUnresponsive = (sandboxId: string, hasMemory: boolean): SandlotError =>
  new SandlotError(
    'sandbox_guest_unresponsive',
    `envd in sandbox '${sandboxId}' does not answer, so it was not paused and keeps running: try again${hasMemory ? ', or leave requireHealthyGuest out' : ', or pause it with its memory'}`,
  )

const memoryUnresponsive = (sandboxId: string): SandlotError =>
  new SandlotError(
    'sandbox_snapshot_guest_agent_unresponsive',
    `envd in sandbox '${sandboxId}' did not answer when it was paused, and would not with this memory: connect with memory false, which boots from its files`,
  )
