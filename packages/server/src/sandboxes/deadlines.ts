import { lifecycleEvent } from '../events/events.ts'
import type { Team } from '../teams/team.ts'
import { DeadlineHeap } from './deadline-heap.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'

/** What happens at a deadline. */
export interface DeadlineActions {
  kill: (sandboxId: string) => void
  autoPause: (sandboxId: string, hasMemory: boolean) => void
}

/**
 * The deadlines of running sandboxes. At its deadline, a sandbox is paused if it was created with `autoPause`, and killed
 * otherwise. Paused sandboxes have no deadline; a resume sets a new one.
 */
export class Deadlines {
  readonly #operations: SandboxOperations
  readonly #actions: DeadlineActions
  readonly #heap: DeadlineHeap

  constructor(operations: SandboxOperations, actions: DeadlineActions) {
    this.#operations = operations
    this.#actions = actions
    this.#heap = new DeadlineHeap({ now: operations.now, onExpired: (id) => this.#onExpired(id) })
  }

  #onExpired(sandboxId: string): void {
    const autoPause = this.#operations.registry.get(sandboxId)?.settings.autoPause
    if (autoPause) this.#actions.autoPause(sandboxId, autoPause.hasMemory)
    else this.#actions.kill(sandboxId)
  }

  /** @param atMs when to act; default: the end of the sandbox's time */
  set({ sandboxId, endAtMs }: LiveSandbox, atMs = endAtMs): void {
    this.#heap.set(sandboxId, atMs)
  }

  delete(sandboxId: string): void {
    this.#heap.delete(sandboxId)
  }

  /**
   * Whether the time of a running sandbox is over. Checked again under the sandbox's lock, because the sandbox may have
   * been extended or paused in the meantime; an extended sandbox gets its new deadline here.
   */
  isOver(sandbox: LiveSandbox): boolean {
    if (sandbox.state !== 'running') return false
    if (sandbox.endAtMs <= this.#operations.now()) return true
    this.set(sandbox)
    return false
  }

  /**
   * Lets a running sandbox live at least `seconds` from now; never shortens its time.
   * @throws SandlotError not_found, invalid_request: longer than the plan allows, conflict: it is being killed
   */
  async extend(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    const { limits, now } = this.#operations
    this.#operations.checkNotKilling(team, sandboxId)
    const sandbox = this.#operations.getRunning(team, sandboxId)
    limits.checkLength(team, seconds)
    if (now() + seconds * 1000 <= sandbox.endAtMs) return sandbox
    return this.#operations.exclusively(sandboxId, () =>
      this.extendLocked(this.#operations.getRunning(team, sandboxId), seconds),
    )
  }

  /** Like `extend`, for callers that hold the sandbox's lock. */
  async extendLocked(sandbox: LiveSandbox, seconds: number): Promise<LiveSandbox> {
    // a concurrent caller may have extended the sandbox further while this one waited for the lock
    await this.#setEnd(sandbox, Math.max(sandbox.endAtMs, this.#operations.now() + seconds * 1000))
    return sandbox
  }

  /**
   * Lets a running sandbox live exactly `seconds` from now.
   * @throws SandlotError not_found, invalid_request: longer than the plan allows
   */
  async setTimeout(team: Team, sandboxId: string, seconds: number): Promise<void> {
    this.#operations.getRunning(team, sandboxId)
    this.#operations.limits.checkLength(team, seconds)
    const endAtMs = this.#operations.now() + seconds * 1000
    await this.#operations.exclusively(sandboxId, () =>
      this.#setEnd(this.#operations.getRunning(team, sandboxId), endAtMs),
    )
  }

  async #setEnd(sandbox: LiveSandbox, endAtMs: number): Promise<void> {
    if (endAtMs === sandbox.endAtMs) return
    const { repository, now } = this.#operations
    const event = lifecycleEvent('updated', sandbox, now(), { set_timeout: new Date(endAtMs).toISOString() })
    await this.#operations.write(sandbox, () => repository.setEnd(sandbox.sandboxId, endAtMs, event))
    sandbox.endAtMs = endAtMs
    if (sandbox.state === 'running') this.set(sandbox)
  }

  close(): void {
    this.#heap.close()
  }
}
