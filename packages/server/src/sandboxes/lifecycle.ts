import { SandlotError } from '@sandlot/protocol'
import type { EventReceiver, MachineInit, NodeEventOf } from '@sandlot/protocol/node'
import { within } from '../concurrency/within.ts'
import { killedEvent, lifecycleEvent } from '../events/events.ts'
import type { Deadlines } from './deadlines.ts'
import { EarlyExits } from './early-exits.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import { become, type KillReason } from './state.ts'

/** How long an operation waits for a machine to stop; the stop itself is retried in the background. */
export const STOP_TIMEOUT_MS = 20_000

/** How a machine becomes a running sandbox, and how a sandbox ends. */
export class SandboxLifecycle {
  readonly #operations: SandboxOperations
  readonly #deadlines: Deadlines
  readonly #onEnded: (sandboxId: string) => Promise<void>
  readonly #earlyExits = new EarlyExits()

  /**
   * @param events what the node reports
   * @param onEnded deletes what a sandbox leaves behind; called after the sandbox's machine is gone
   */
  constructor(
    operations: SandboxOperations,
    deadlines: Deadlines,
    events: EventReceiver,
    onEnded: (sandboxId: string) => Promise<void>,
  ) {
    this.#operations = operations
    this.#deadlines = deadlines
    this.#onEnded = onEnded
    events.on('stalled', (event) => this.#recordStall(event))
    events.on('exit', (event) => this.#recordExit(event))
  }

  /** Makes a machine a running sandbox. When that fails, the machine is stopped and the row says that the create failed. */
  async begin(sandbox: LiveSandbox): Promise<void> {
    const operations = this.#operations
    const { node, repository, logger, now } = operations
    try {
      // The guest is set up while the row is written. A crash in between leaves a machine without a row that says it
      // runs: the next start removes it, or keeps it stalled for a while if the guest was already told its sandbox.
      await Promise.all([node.init(sandbox.machineId, initOf(sandbox)), repository.insert(sandbox)])
      if (this.#earlyExits.take(sandbox.machineId) !== undefined)
        throw new SandlotError('sandbox_create_failed', 'the sandbox ended by itself while it started')
      become(sandbox, 'running')
      sandbox.startedAtMs = now()
      sandbox.endAtMs = sandbox.startedAtMs + sandbox.settings.timeoutSeconds * 1000
      await repository.setRunning(sandbox, lifecycleEvent('created', sandbox, sandbox.startedAtMs))
    } catch (error) {
      await within(STOP_TIMEOUT_MS, node.stop(sandbox.machineId)).catch((err) => {
        logger.warn({ err, machineId: sandbox.machineId }, 'the machine of a failed create did not stop')
        operations.later('stopping the machine of a failed create', () => node.stop(sandbox.machineId))
      })
      const endedAtMs = now()
      const event = killedEvent(sandbox, endedAtMs, 'create_failed')
      await operations.eventually('recording a failed create', () =>
        repository.setCreateFailed(sandbox, endedAtMs, event),
      )
      throw error
    }
  }

  /**
   * Ends the machine of a resume or rollback that has failed.
   * @param mayBeRecorded whether the row may name the machine. The row is corrected first then: a crash in between
   * leaves a sandbox that runs, instead of one whose machine is gone.
   */
  async undoRun(sandbox: LiveSandbox, machineId: string, mayBeRecorded: boolean): Promise<void> {
    const operations = this.#operations
    const stop = () => operations.node.stop(machineId)
    if (mayBeRecorded)
      return operations.correctRow(sandbox, async () => {
        // a frozen machine may have been given to a later resume
        if (sandbox.state !== 'running' || sandbox.machineId !== machineId) await stop()
      })
    await within(STOP_TIMEOUT_MS, stop()).catch(() =>
      operations.later('stopping the machine of a failed run', stop),
    )
  }

  /** Makes a sandbox visible: from now on callers find it, the edge routes to it and its deadline counts. */
  show(sandbox: LiveSandbox): void {
    const { registry } = this.#operations
    registry.add(sandbox)
    registry.show(sandbox)
    if (sandbox.state === 'paused') return
    this.#deadlines.set(sandbox)
    this.endIfExited(sandbox)
  }

  /** Ends a sandbox whose machine exited before the registry knew whose machine it was. */
  endIfExited({ sandboxId, machineId }: LiveSandbox): void {
    const reason = this.#earlyExits.take(machineId)
    if (reason !== undefined) this.endInBackground(sandboxId, `exited: ${reason}`, machineId)
  }

  /**
   * Ends a sandbox that no caller waits for, and retries until the sandbox has ended.
   * @param machineId ends the sandbox only while it runs on this machine
   * @returns resolves when the sandbox has ended; never once the server is closed: its next start finds the sandbox
   */
  endInBackground(sandboxId: string, reason: KillReason, machineId?: string): Promise<void> {
    const operations = this.#operations
    return new Promise((resolve) => {
      if (operations.isClosed) return
      const end = async () => {
        await this.end(sandboxId, reason, machineId)
        resolve()
      }
      end().catch((err) => {
        operations.logger.error({ err, sandboxId, reason }, 'a sandbox could not be ended yet')
        operations.later(`ending sandbox ${sandboxId}`, end)
      })
    })
  }

  /** @returns false when the sandbox had ended already, or was extended while this waited for its lock */
  end(sandboxId: string, reason: KillReason, machineId?: string): Promise<boolean> {
    return this.#operations.exclusively(sandboxId, async () => {
      const { registry, repository, logger } = this.#operations
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'running' && sandbox?.state !== 'paused') return false
      if (reason === 'timeout' && !this.#deadlines.isOver(sandbox)) return false
      const isOtherRun = sandbox.state === 'paused' || sandbox.machineId !== machineId
      if (machineId !== undefined && isOtherRun) return false
      // a full disk must not keep a sandbox alive: ending it is what frees space
      await repository
        .setKilling(sandboxId, reason)
        .catch((err) => logger.warn({ err, sandboxId }, 'the coming end of a sandbox was not recorded'))
      become(sandbox, 'killing')
      sandbox.killReason = reason
      this.#operations.noteTakeover(sandbox, reason)
      this.#deadlines.delete(sandboxId)
      registry.hide(sandboxId, 'ended')
      try {
        await this.#stop(sandbox)
      } catch (error) {
        this.#operations.later(`stopping sandbox ${sandboxId}`, () => this.#stop(sandbox))
        throw error
      }
      return true
    })
  }

  /** Deletes what a sandbox that has ended left behind, and retries until that is done. */
  forget(sandboxId: string): Promise<void> {
    return this.#operations.eventually(`deleting what is left of sandbox ${sandboxId}`, () =>
      this.#onEnded(sandboxId),
    )
  }

  async #stop(sandbox: LiveSandbox): Promise<void> {
    const operations = this.#operations
    const { sandboxId, killReason = 'request' } = sandbox
    await within(
      STOP_TIMEOUT_MS,
      operations.node.stop(sandbox.machineId),
      `sandbox '${sandboxId}' does not stop`,
    )
    if (sandbox.state === 'killed') return
    become(sandbox, 'killed')
    operations.registry.remove(sandboxId)
    const endedAtMs = operations.now()
    await operations.eventually(`recording the end of sandbox ${sandboxId}`, () =>
      operations.repository.setKilled(
        sandboxId,
        killReason,
        endedAtMs,
        killedEvent(sandbox, endedAtMs, killReason),
      ),
    )
    operations.inBackground('deleting what an ended sandbox left', () => this.forget(sandboxId))
  }

  /** @returns when the end of the machine's sandbox is recorded */
  #recordExit({ machineId, reason }: NodeEventOf<'exit'>): Promise<void> | void {
    const sandbox = this.#operations.registry.byMachine(machineId)
    if (sandbox) return this.endInBackground(sandbox.sandboxId, `exited: ${reason}`, machineId)
    this.#earlyExits.add(machineId, reason)
  }

  async #recordStall({ machineId, reason }: NodeEventOf<'stalled'>): Promise<void> {
    const { registry, repository, pending, logger, now } = this.#operations
    const sandbox = registry.byMachine(machineId)
    if (!sandbox || this.#operations.isClosed) return
    const { sandboxId } = sandbox
    logger.warn({ sandboxId, reason }, reason ? 'a sandbox is stalled' : 'a stalled sandbox runs again')
    const event = lifecycleEvent('updated', sandbox, now(), { stalled: reason ?? null })
    await pending.add(repository.addEvent(event))
  }
}

/** What a machine is told about the sandbox that it becomes. */
export const initOf = (sandbox: LiveSandbox): MachineInit => ({
  sandboxId: sandbox.sandboxId,
  templateId: sandbox.templateId,
  accessToken: sandbox.envdAccessToken ?? '',
  envVars: sandbox.settings.envVars ?? {},
  defaultUser: sandbox.defaultUser,
  defaultWorkdir: sandbox.defaultWorkdir,
})
