import { isSandboxId, SandlotError } from '@sandlot/protocol'
import type { SandboxNode } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { KeyedLock } from '../concurrency/keyed-lock.ts'
import { PendingWork } from '../concurrency/pending-work.ts'
import { Retries } from '../concurrency/retries.ts'
import { mayHaveWritten } from '../store/open-store.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import type { TemplateRegistry } from '../templates/registry.ts'
import { movedTo, notFound, onOtherHome } from './errors.ts'
import type { SandboxRegistry } from './registry.ts'
import type { SandboxRepository } from './repository.ts'
import type { LiveSandbox } from './sandbox.ts'
import { type KillReason, TAKEN_OVER_BY } from './state.ts'

const MAX_TAKEN_OVER = 100_000

export interface SandboxOperationsOptions {
  node: SandboxNode
  repository: SandboxRepository
  registry: SandboxRegistry
  templates: TemplateRegistry
  limits: TeamLimits
  /** Finds the team of a sandbox for work that no request asked for, such as auto-resume. */
  teamOf: (teamId: string) => Promise<Team | undefined>
  logger: Logger
  now: () => number
}

/**
 * Base of all operations on sandboxes: lookup, one lock for each sandbox, retries and background work. A row always says
 * what is about to be done, so that the next start can finish or undo it.
 */
export class SandboxOperations {
  readonly node: SandboxNode
  readonly repository: SandboxRepository
  readonly registry: SandboxRegistry
  readonly templates: TemplateRegistry
  readonly limits: TeamLimits
  readonly teamOf: (teamId: string) => Promise<Team | undefined>
  readonly logger: Logger
  readonly now: () => number
  readonly pending = new PendingWork()
  readonly #lock = new KeyedLock()
  readonly #retries: Retries
  /** Sandboxes that other machines took over most recently, with the name of the machine. */
  readonly #takenOver = new Map<string, { teamId: string; by: string }>()
  /** Sandboxes on other homes of this database. */
  readonly #elsewhere = new Map<string, { teamId: string; nodeId: string }>()
  #isClosed = false

  constructor(options: SandboxOperationsOptions) {
    this.node = options.node
    this.repository = options.repository
    this.registry = options.registry
    this.templates = options.templates
    this.limits = options.limits
    this.teamOf = options.teamOf
    this.logger = options.logger
    this.now = options.now
    this.#retries = new Retries((err, what) => this.logger.warn({ err }, `${what} failed again`))
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * Finds a team's sandbox that runs or is paused.
   * @throws SandlotError not_found, conflict: another machine has taken it over, or it is on another home
   */
  get(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.find(team, sandboxId)
    if (
      !sandbox ||
      sandbox.state === 'starting' ||
      sandbox.state === 'killing' ||
      sandbox.state === 'killed'
    ) {
      const elsewhere = this.#elsewhere.get(sandboxId)
      if (elsewhere?.teamId === team.teamId) throw onOtherHome(sandboxId, elsewhere.nodeId)
      const takenOver = this.#takenOver.get(sandboxId)
      throw takenOver?.teamId === team.teamId ? movedTo(sandboxId, takenOver.by) : notFound(sandboxId)
    }
    return sandbox
  }

  /**
   * Like `get`, but refuses paused sandboxes, which have no time to live. Clients 2.0 set a timeout to find out whether
   * they must resume: 404 means yes.
   * @throws SandlotError not_found, conflict
   */
  getRunning(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.get(team, sandboxId)
    if (sandbox.state === 'running') return sandbox
    throw new SandlotError(
      'not_found',
      `Sandbox "${sandboxId}" is paused, and its time to live begins with the next connect`,
    )
  }

  /** Finds a team's sandbox in any state. */
  find(team: Team, sandboxId: string): LiveSandbox | undefined {
    const sandbox = isSandboxId(sandboxId) ? this.registry.get(sandboxId) : undefined
    return sandbox?.teamId === team.teamId ? sandbox : undefined
  }

  /** @throws SandlotError conflict while the sandbox is being killed */
  checkNotKilling(team: Team, sandboxId: string): void {
    if (this.find(team, sandboxId)?.state === 'killing')
      throw new SandlotError('conflict', `Sandbox "${sandboxId}" is being killed`)
  }

  /** Remembers a sandbox that only the server of another home can act on. */
  noteElsewhere({ sandboxId, teamId, nodeId }: { sandboxId: string; teamId: string; nodeId: string }): void {
    this.#elsewhere.set(sandboxId, { teamId, nodeId })
  }

  /** Remembers which machine took a sandbox over, if the sandbox ended for that reason: callers are told the name. */
  noteTakeover({ sandboxId, teamId }: Pick<LiveSandbox, 'sandboxId' | 'teamId'>, reason: KillReason): void {
    if (!reason.startsWith(TAKEN_OVER_BY)) return
    this.#takenOver.set(sandboxId, { teamId, by: reason.slice(TAKEN_OVER_BY.length) })
    if (this.#takenOver.size > MAX_TAKEN_OVER) this.#takenOver.delete(this.#takenOver.keys().next().value!)
  }

  /** Runs one operation on a sandbox at a time, in order of arrival. A drain waits for all of them. */
  exclusively<T>(sandboxId: string, work: () => Promise<T>): Promise<T> {
    return this.pending.add(this.#lock.run(sandboxId, work))
  }

  /**
   * Writes to a sandbox's row under the sandbox's lock. When the database does not say whether the write was made, the row
   * is corrected in the background, and the caller is told that the write failed.
   */
  async write(sandbox: LiveSandbox, work: () => Promise<void>): Promise<void> {
    await work().catch((error) => {
      if (mayHaveWritten(error)) this.correctRow(sandbox)
      throw error
    })
  }

  /**
   * Writes a sandbox's row as memory holds the sandbox, in the background, and retries until that is done.
   * @param undo called under the sandbox's lock when the row is right: deletes what only the failed change needed
   */
  correctRow(sandbox: LiveSandbox, undo: () => Promise<void> = async () => {}): void {
    const what = `correcting the row of sandbox ${sandbox.sandboxId}`
    const correct = () =>
      this.exclusively(sandbox.sandboxId, async () => {
        // a kill records the end of the sandbox
        if (sandbox.state !== 'killing' && sandbox.state !== 'killed') await this.repository.rewrite(sandbox)
        await undo()
      })
    this.inBackground(what, () => this.eventually(what, correct))
  }

  /** Runs work now, and retries it in the background until it succeeds: for recording what cannot be undone. */
  async eventually(what: string, work: () => Promise<void>): Promise<void> {
    await work().catch((err) => {
      this.logger.warn({ err }, `${what} failed and will be retried`)
      this.#retries.later(what, work)
    })
  }

  /** Runs work in the background after `delayMs`, and retries it until it succeeds. */
  later(what: string, work: () => Promise<void>, delayMs?: number): void {
    this.#retries.later(what, work, delayMs)
  }

  /** Starts work that no caller waits for; a failure is logged. */
  inBackground(what: string, work: () => Promise<void>): void {
    if (this.#isClosed) return
    this.pending.add(work()).catch((err) => this.logger.warn({ err }, `${what} failed`))
  }

  /** Waits for pending work, at most `timeoutMs`; afterwards no work is started. */
  async close(timeoutMs: number): Promise<void> {
    await this.pending.settle(timeoutMs)
    this.#isClosed = true
    this.#retries.close()
  }
}
