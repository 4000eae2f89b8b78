import { randomUUID } from 'node:crypto'
import { SandlotError } from '@sandlot/protocol'
import type { CheckpointInfo } from '@sandlot/protocol/node'
import type { History } from '../checkpoints/history.ts'
import type { Checkpoints } from '../checkpoints/service.ts'
import { within } from '../concurrency/within.ts'
import { lifecycleEvent } from '../events/events.ts'
import type { Handovers } from '../takeover/service.ts'
import type { Team } from '../teams/team.ts'
import type { Life } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import { networkPolicyOf } from './settings.ts'
import { become, type CheckpointReason } from './state.ts'

const STOP_TIMEOUT_MS = 20_000
/** Whoever wakes a sandbox by traffic should not lose it a moment later. */
const MIN_AUTO_RESUME_SECONDS = 300
const PAUSE_RETRY_MS = 30_000

export interface PauseOptions {
  hasMemory: boolean
  /** Refuses a sandbox whose envd does not answer. Without memory that is always so. */
  mustBeHealthy: boolean
}

/** Puts sandboxes away and takes them out again. Every step is in a row before it is done. */
export class Pauses {
  readonly #life: Life
  readonly #history: History
  readonly #checkpoints: Checkpoints
  readonly #handovers: Handovers

  constructor(life: Life, history: History, checkpoints: Checkpoints, handovers: Handovers) {
    this.#life = life
    this.#history = history
    this.#checkpoints = checkpoints
    this.#handovers = handovers
  }

  /** @throws SandlotError conflict: it is paused already, sandbox_guest_unresponsive, not_found, disk_full, checkpoint_failed */
  pause(team: Team, sandboxId: string, { hasMemory, mustBeHealthy }: PauseOptions): Promise<void> {
    this.#life.get(team, sandboxId)
    return this.#life.exclusively(sandboxId, async () => {
      const sandbox = this.#life.get(team, sandboxId)
      if (sandbox.state !== 'running')
        throw new SandlotError('conflict', `Sandbox "${sandboxId}" is already paused`)
      const isHealthy = await this.#life.node.isGuestHealthy(sandbox.machineId)
      if (!isHealthy && (mustBeHealthy || !hasMemory)) throw guestUnresponsive(sandboxId, hasMemory)
      await this.#pause(sandbox, 'pause', hasMemory, isHealthy)
    })
  }

  /** At its deadline. What cannot be saved now runs on and is tried again: it must not vanish. */
  autoPause(sandboxId: string, hasMemory: boolean): void {
    const { registry, deadlines, logger, now } = this.#life
    const pause = () =>
      this.#life.exclusively(sandboxId, async () => {
        const sandbox = registry.get(sandboxId)
        if (sandbox?.state !== 'running') return
        if (sandbox.endAtMs > now()) deadlines.set(sandboxId, sandbox.endAtMs)
        else {
          // never a reason not to: what runs in a sandbox must not be able to keep it from its deadline
          const isHealthy = await this.#life.node.isGuestHealthy(sandbox.machineId)
          await this.#pause(sandbox, 'auto-pause', hasMemory, isHealthy)
        }
      })
    pause().catch((err) => {
      logger.error({ err, sandboxId }, 'a sandbox could not be paused at its deadline; it runs on')
      if (registry.get(sandboxId)?.state === 'running') deadlines.set(sandboxId, now() + PAUSE_RETRY_MS)
    })
  }

  async #pause(
    sandbox: LiveSandbox,
    why: CheckpointReason,
    hasMemory: boolean,
    isHealthy: boolean,
  ): Promise<void> {
    const { node, repository, registry, deadlines, now } = this.#life
    const { sandboxId } = sandbox
    const savedAs = { hasMemory, isGuestUnresponsive: hasMemory && !isHealthy }
    const checkpoint = this.#checkpoints.newCheckpoint(sandbox, why, savedAs)
    const { checkpointId } = checkpoint
    await repository.setPausing(sandboxId, checkpoint)
    become(sandbox, 'pausing')
    registry.suspend(sandbox)
    let saved: CheckpointInfo
    try {
      saved = await node.pause(sandbox.machineId, checkpointId, { hasMemory })
    } catch (error) {
      await this.#undoPause(sandbox, checkpointId)
      throw error
    }
    deadlines.delete(sandboxId)
    become(sandbox, 'paused')
    sandbox.checkpointId = checkpointId
    sandbox.saved = savedAs
    sandbox.pausedAtMs = now()
    registry.show(sandbox)
    this.#handovers.owe(sandbox)
    const event = lifecycleEvent('paused', sandbox, sandbox.pausedAtMs, {
      pause_reason: why === 'auto-pause' ? 'timeout' : 'request',
      checkpoint: { id: checkpointId, memory: hasMemory, size_bytes: saved.sizeBytes },
    })
    // the row says `pausing` and the checkpoint is there: the next start would finish it just so
    await this.#life.eventually(`recording the pause of sandbox ${sandboxId}`, () =>
      repository.setPaused(sandbox, saved, event),
    )
    this.#checkpoints.prune(sandbox)
  }

  async #undoPause(sandbox: LiveSandbox, checkpointId: string): Promise<void> {
    const { node, repository, registry } = this.#life
    become(sandbox, 'running')
    registry.show(sandbox)
    await this.#life.eventually(`undoing the pause of sandbox ${sandbox.sandboxId}`, () =>
      repository.undoPausing(sandbox, checkpointId),
    )
    // a node that does not answer reports an exit later
    const isGone = await node.status(sandbox.machineId).then(
      (status) => status === undefined,
      () => false,
    )
    if (isGone) void this.#life.endUnasked(sandbox.sandboxId, 'exited: while it was saved')
  }

  /**
   * Brings a paused sandbox back; one that runs only gets its time extended.
   * @param seconds to live from now @param hasMemory false: boots from its file system
   */
  async connect(
    team: Team,
    sandboxId: string,
    seconds: number,
    hasMemory = true,
  ): Promise<{ sandbox: LiveSandbox; isResumed: boolean }> {
    this.#life.checkNotKilling(team, sandboxId)
    this.#life.limits.checkLength(team, seconds)
    const seen = this.#life.get(team, sandboxId)
    const isLongEnough = this.#life.now() + seconds * 1000 <= seen.endAtMs
    if (seen.state === 'running' && isLongEnough) return { sandbox: seen, isResumed: false }
    return this.#life.exclusively(sandboxId, async () => {
      const sandbox = this.#life.get(team, sandboxId)
      if (sandbox.state === 'paused') {
        await this.#resume(sandbox, team, seconds, hasMemory, 'request')
        return { sandbox, isResumed: true }
      }
      await this.#life.extendLocked(sandbox, seconds)
      return { sandbox, isResumed: false }
    })
  }

  /** The old route: only for paused ones. @throws SandlotError conflict while it runs */
  resume(team: Team, sandboxId: string, seconds: number, hasMemory = true): Promise<LiveSandbox> {
    this.#life.get(team, sandboxId)
    this.#life.limits.checkLength(team, seconds)
    return this.#life.exclusively(sandboxId, async () => {
      const sandbox = this.#life.get(team, sandboxId)
      if (sandbox.state !== 'paused')
        throw new SandlotError('conflict', `Sandbox "${sandboxId}" is already running`)
      await this.#resume(sandbox, team, seconds, hasMemory, 'request')
      return sandbox
    })
  }

  /**
   * For traffic to a paused sandbox; all requests that wait share one resume. One that would have to boot stays paused:
   * what its owner may still expect to run is not for strangers to end.
   */
  async wake(sandboxId: string): Promise<void> {
    await this.#life.exclusively(sandboxId, async () => {
      const sandbox = this.#life.registry.get(sandboxId)
      if (sandbox?.state !== 'paused' || !sandbox.settings.autoResume) return
      if (!sandbox.saved?.hasMemory || sandbox.saved.isGuestUnresponsive) return
      const team = await this.#life.teamOf(sandbox.teamId)
      if (!team) return
      const seconds = Math.max(MIN_AUTO_RESUME_SECONDS, sandbox.settings.timeoutSeconds)
      await this.#resume(sandbox, team, seconds, true, 'traffic')
    })
  }

  async #resume(
    sandbox: LiveSandbox,
    team: Team,
    seconds: number,
    hasMemory: boolean,
    why: 'request' | 'traffic',
  ): Promise<void> {
    const { node, repository, registry, deadlines, now } = this.#life
    if (hasMemory && sandbox.saved?.isGuestUnresponsive) throw memoryUnresponsive(sandbox.sandboxId)
    const release = this.#life.limits.reserve(team)
    try {
      await this.#handovers.claim(sandbox)
      const { machineId, address, how, reason } = await node
        .resume(sandbox.checkpointId!, {
          hasMemory,
          machineId: sandbox.machineId,
          owner: team.teamId,
          network: networkPolicyOf(sandbox.settings),
        })
        .catch((error) => this.#offerOlder(sandbox, error))
      const resumed: LiveSandbox = { ...sandbox, machineId, address, executionId: randomUUID() }
      try {
        if (how !== 'hot') await node.init(machineId, this.#life.initOf(resumed))
        resumed.startedAtMs = now()
        resumed.endAtMs = resumed.startedAtMs + seconds * 1000
        const data = { resume_reason: why, memory: how !== 'booted', ...(reason && { fallback: reason }) }
        await repository.setResumed(resumed, lifecycleEvent('resumed', resumed, resumed.startedAtMs, data))
        if (how === 'hot') await node.thaw(machineId)
      } catch (error) {
        await this.#undoResume(sandbox, machineId)
        throw error
      }
      registry.replace(sandbox, resumed)
      become(sandbox, 'running')
      sandbox.pausedAtMs = undefined
      registry.show(sandbox)
      deadlines.set(sandbox.sandboxId, sandbox.endAtMs)
      this.#life.endIfExited(sandbox)
    } finally {
      release()
    }
  }

  /** Nothing is changed by itself: what is lost by going further back is for its owner to say. */
  async #offerOlder(sandbox: LiveSandbox, error: unknown): Promise<never> {
    if (!(error instanceof SandlotError) || error.errorName !== 'checkpoint_damaged') throw error
    const older = await this.#history.before(sandbox)
    const offer = older
      ? `the one before it is '${older.checkpointId}' of ${new Date(older.createdAtMs).toISOString()}: ` +
        `POST /sandboxes/${sandbox.sandboxId}/rollback {"checkpointID":"${older.checkpointId}"}, then connect again`
      : 'there is no older one'
    throw new SandlotError('checkpoint_damaged', `${error.message}; ${offer}`, { cause: error })
  }

  /** The checkpoint is still there: whatever was started of it goes, and the sandbox is as paused as before. */
  async #undoResume(sandbox: LiveSandbox, machineId: string): Promise<void> {
    const { node, repository } = this.#life
    await within(STOP_TIMEOUT_MS, node.stop(machineId)).catch(() =>
      this.#life.later('stopping a half resumed machine', () => node.stop(machineId)),
    )
    await this.#life.eventually(`undoing the resume of sandbox ${sandbox.sandboxId}`, () =>
      repository.undoResumed(sandbox),
    )
  }
}

const guestUnresponsive = (sandboxId: string, hasMemory: boolean): SandlotError =>
  new SandlotError(
    'sandbox_guest_unresponsive',
    `envd in sandbox '${sandboxId}' does not answer, so it was not paused and runs on: try again${hasMemory ? ', or leave requireHealthyGuest out' : ', or pause it with its memory'}`,
  )

const memoryUnresponsive = (sandboxId: string): SandlotError =>
  new SandlotError(
    'sandbox_snapshot_guest_agent_unresponsive',
    `envd in sandbox '${sandboxId}' did not answer when it was paused, and would not with this memory: connect with memory false, which boots from its files`,
  )
