import { isSandboxId, SandlotError } from '@sandlot/protocol'
import type { EventReceiver, MachineInit, NodeEventOf, SandboxNode } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { KeyedLock } from '../concurrency/keyed-lock.ts'
import { Retries } from '../concurrency/retries.ts'
import { UnderWay } from '../concurrency/under-way.ts'
import { within } from '../concurrency/within.ts'
import { killedEvent, lifecycleEvent } from '../events/events.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import type { TemplateRegistry } from '../templates/registry.ts'
import { DeadlineHeap } from './deadline-heap.ts'
import { EarlyExits } from './early-exits.ts'
import type { SandboxRegistry } from './registry.ts'
import type { SandboxRepository } from './repository.ts'
import type { LiveSandbox, SandboxSettings } from './sandbox.ts'
import { become, type KillReason, MOVED } from './state.ts'

const NODE_STOP_TIMEOUT_MS = 20_000
const MAX_MOVED = 100_000

export interface LifeOptions {
  node: SandboxNode
  nodeEvents: EventReceiver
  repository: SandboxRepository
  registry: SandboxRegistry
  catalogue: TemplateRegistry
  limits: TeamLimits
  /** For what comes without a caller. */
  teamOf: (teamId: string) => Promise<Team | undefined>
  logger: Logger
  now: () => number
  /** No sandbox is made that whoever has its id may use. Default false. */
  requireSecure?: boolean
}

/** What reaches a sandbox without a request. */
export interface LifeEvents {
  onDeadline: (sandboxId: string) => void
  /** After its machine is gone, before its row says so. */
  onEnded: (sandboxId: string) => Promise<void>
}

/**
 * What every change of a sandbox shares: one lock a sandbox, one timer for all deadlines, how a machine becomes a
 * running sandbox and how one ends. The row always says what is about to be done.
 */
export class Life {
  readonly node: SandboxNode
  readonly repository: SandboxRepository
  readonly registry: SandboxRegistry
  readonly catalogue: TemplateRegistry
  readonly limits: TeamLimits
  readonly teamOf: (teamId: string) => Promise<Team | undefined>
  readonly logger: Logger
  readonly now: () => number
  readonly deadlines: DeadlineHeap
  readonly underWay = new UnderWay()
  readonly #requireSecure: boolean
  readonly #lock = new KeyedLock()
  readonly #retries: Retries
  readonly #events: LifeEvents
  readonly #earlyExits = new EarlyExits()
  /** Where sandboxes went that other machines took over, the latest of them. */
  readonly #moved = new Map<string, { teamId: string; to: string }>()
  #isClosed = false

  constructor(options: LifeOptions, events: LifeEvents) {
    const { node, repository, registry, catalogue, limits, teamOf, logger, now } = options
    this.node = node
    this.repository = repository
    this.registry = registry
    this.catalogue = catalogue
    this.limits = limits
    this.teamOf = teamOf
    this.logger = logger
    this.now = now
    this.#requireSecure = options.requireSecure ?? false
    this.#events = events
    this.#retries = new Retries((err, what) => logger.warn({ err }, `${what} failed again`))
    this.deadlines = new DeadlineHeap({ now, onExpired: events.onDeadline })
    options.nodeEvents.on('stalled', (event) => this.#noteStall(event))
    options.nodeEvents.on('exit', (event) => this.#noteExit(event))
  }

  /** @returns when the end of the sandbox is recorded */
  #noteExit({ machineId, reason }: NodeEventOf<'exit'>): Promise<void> | void {
    const sandbox = this.registry.byMachine(machineId)
    if (sandbox) return this.endUnasked(sandbox.sandboxId, `exited: ${reason}`, machineId)
    this.#earlyExits.add(machineId, reason)
  }

  /** Ends a sandbox whose machine died before the registry knew the machine. */
  endIfExited({ sandboxId, machineId }: LiveSandbox): void {
    const reason = this.#earlyExits.take(machineId)
    if (reason !== undefined) void this.endUnasked(sandboxId, `exited: ${reason}`, machineId)
  }

  async #noteStall({ machineId, reason }: NodeEventOf<'stalled'>): Promise<void> {
    const sandbox = this.registry.byMachine(machineId)
    if (!sandbox || this.#isClosed) return
    const { sandboxId } = sandbox
    this.logger.warn({ sandboxId, reason }, reason ? 'a sandbox stands still' : 'a sandbox goes on')
    const event = lifecycleEvent('updated', sandbox, this.now(), { stalled: reason ?? null })
    await this.underWay.add(this.repository.addEvent(event))
  }

  /** One that runs or is paused. @throws SandlotError not_found, conflict: another machine has taken it over */
  get(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.find(team, sandboxId)
    if (
      !sandbox ||
      sandbox.state === 'starting' ||
      sandbox.state === 'killing' ||
      sandbox.state === 'killed'
    ) {
      const moved = this.#moved.get(sandboxId)
      throw moved?.teamId === team.teamId ? movedTo(sandboxId, moved.to) : notFound(sandboxId)
    }
    return sandbox
  }

  /**
   * Paused ones have no time to live. Clients of 2.0 set a timeout to see whether they must resume: 404 says yes.
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

  noteMoved({ sandboxId, teamId }: Pick<LiveSandbox, 'sandboxId' | 'teamId'>, reason: KillReason): void {
    if (!reason.startsWith(MOVED)) return
    this.#moved.set(sandboxId, { teamId, to: reason.slice(MOVED.length) })
    if (this.#moved.size > MAX_MOVED) this.#moved.delete(this.#moved.keys().next().value!)
  }

  find(team: Team, sandboxId: string): LiveSandbox | undefined {
    const sandbox = isSandboxId(sandboxId) ? this.registry.get(sandboxId) : undefined
    return sandbox?.teamId === team.teamId ? sandbox : undefined
  }

  /** One after the other, and waited for by a drain. */
  exclusively<T>(sandboxId: string, work: () => Promise<T>): Promise<T> {
    return this.underWay.add(this.#lock.run(sandboxId, work))
  }

  /** Does it now, else again and again: for what must be recorded and cannot be undone. */
  async eventually(what: string, work: () => Promise<void>): Promise<void> {
    await work().catch((err) => {
      this.logger.warn({ err }, `${what} failed; it is tried again`)
      this.#retries.later(what, work)
    })
  }

  later(what: string, work: () => Promise<void>, delayMs?: number): void {
    this.#retries.later(what, work, delayMs)
  }

  inBackground(what: string, work: () => Promise<void>): void {
    if (this.#isClosed) return
    this.underWay.add(work()).catch((err) => this.logger.warn({ err }, `${what} failed`))
  }

  initOf(sandbox: LiveSandbox): MachineInit {
    return {
      sandboxId: sandbox.sandboxId,
      templateId: sandbox.templateId,
      accessToken: sandbox.envdAccessToken ?? '',
      envVars: sandbox.settings.envVars ?? {},
      defaultUser: sandbox.defaultUser,
      defaultWorkdir: sandbox.defaultWorkdir,
    }
  }

  /** Makes a running sandbox of a machine. When it fails the machine and the row are gone. */
  async begin(sandbox: LiveSandbox): Promise<void> {
    const { node, repository, logger, now } = this
    try {
      // The guest wakes while the row is written. A crash in between leaves a machine that nobody was told of: it
      // is not warm any more and no row says it runs, so the next start removes it, or lets it stand still for a
      // while when it was told and the row was not written.
      await Promise.all([node.init(sandbox.machineId, this.initOf(sandbox)), repository.insert(sandbox)])
      if (this.#earlyExits.take(sandbox.machineId) !== undefined)
        throw new SandlotError('sandbox_create_failed', 'the sandbox ended by itself while it started')
      become(sandbox, 'running')
      sandbox.startedAtMs = now()
      sandbox.endAtMs = sandbox.startedAtMs + sandbox.settings.timeoutSeconds * 1000
      await repository.setRunning(sandbox, lifecycleEvent('created', sandbox, sandbox.startedAtMs))
    } catch (error) {
      await within(NODE_STOP_TIMEOUT_MS, node.stop(sandbox.machineId)).catch((err) => {
        logger.warn({ err, machineId: sandbox.machineId }, 'a half made sandbox does not stop')
        this.later('stopping a half made sandbox', () => node.stop(sandbox.machineId))
      })
      await this.eventually('recording a failed create', () =>
        repository.setKilled(sandbox.sandboxId, 'create_failed', now()),
      )
      throw error
    }
  }

  /** From now on it is found, routed to and ended in time. */
  show(sandbox: LiveSandbox): void {
    this.registry.add(sandbox)
    this.registry.show(sandbox)
    if (sandbox.state === 'paused') return
    this.deadlines.set(sandbox.sandboxId, sandbox.endAtMs)
    this.endIfExited(sandbox)
  }

  /** @param mend what would be right instead @throws SandlotError invalid_request: sandboxes need an access token here */
  checkSecure({ secure }: Pick<SandboxSettings, 'secure'>, mend: string): void {
    if (this.#requireSecure && !secure)
      throw new SandlotError(
        'invalid_request',
        `this server makes no sandboxes without an access token (its setting requireSecure): ${mend}`,
      )
  }

  /** @throws SandlotError conflict while it is being killed */
  checkNotKilling(team: Team, sandboxId: string): void {
    if (this.find(team, sandboxId)?.state === 'killing')
      throw new SandlotError('conflict', `Sandbox "${sandboxId}" is being killed`)
  }

  /** Only ever extends. @throws SandlotError conflict while it is being killed */
  async extend(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    this.checkNotKilling(team, sandboxId)
    const sandbox = this.getRunning(team, sandboxId)
    this.limits.checkLength(team, seconds)
    if (this.now() + seconds * 1000 <= sandbox.endAtMs) return sandbox
    return this.exclusively(sandboxId, () => this.extendLocked(this.getRunning(team, sandboxId), seconds))
  }

  /** Another connect may have extended it further while this one waited for the lock. */
  async extendLocked(sandbox: LiveSandbox, seconds: number): Promise<LiveSandbox> {
    await this.setEnd(sandbox, Math.max(sandbox.endAtMs, this.now() + seconds * 1000))
    return sandbox
  }

  /** Under its lock. */
  async setEnd(sandbox: LiveSandbox, endAtMs: number): Promise<void> {
    if (endAtMs === sandbox.endAtMs) return
    const event = lifecycleEvent('updated', sandbox, this.now(), {
      set_timeout: new Date(endAtMs).toISOString(),
    })
    await this.repository.setEnd(sandbox.sandboxId, endAtMs, event)
    sandbox.endAtMs = endAtMs
    if (sandbox.state === 'running') this.deadlines.set(sandbox.sandboxId, endAtMs)
  }

  /**
   * Nobody waits for the answer, so what cannot be done now is done later.
   * @param machineId only if it still runs on this machine
   * @returns when it has ended; never for a server that is closed: the next one finds the sandbox
   */
  endUnasked(sandboxId: string, reason: KillReason, machineId?: string): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isClosed) return
      const end = async () => {
        await this.end(sandboxId, reason, machineId)
        resolve()
      }
      end().catch((err) => {
        this.logger.error({ err, sandboxId, reason }, 'a sandbox could not be ended yet')
        this.later(`ending sandbox ${sandboxId}`, end)
      })
    })
  }

  /** @returns false when someone else ended it first */
  end(sandboxId: string, reason: KillReason, machineId?: string): Promise<boolean> {
    return this.exclusively(sandboxId, async () => {
      const { registry, repository, logger, now } = this
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'running' && sandbox?.state !== 'paused') return false
      // it may have been extended or paused while this waited for the lock
      if (reason === 'timeout' && (sandbox.state === 'paused' || sandbox.endAtMs > now())) {
        if (sandbox.state === 'running') this.deadlines.set(sandboxId, sandbox.endAtMs)
        return false
      }
      const isOtherRun = sandbox.state === 'paused' || sandbox.machineId !== machineId
      if (machineId !== undefined && isOtherRun) return false
      // a full disk must not keep a sandbox alive: ending it is what frees space
      await repository
        .setKilling(sandboxId, reason)
        .catch((err) => logger.warn({ err, sandboxId }, 'that it is being killed could not be written'))
      become(sandbox, 'killing')
      sandbox.killReason = reason
      this.noteMoved(sandbox, reason)
      this.deadlines.delete(sandboxId)
      registry.hide(sandboxId, 'ended')
      try {
        await this.#stop(sandbox)
      } catch (error) {
        this.later(`stopping sandbox ${sandboxId}`, () => this.#stop(sandbox))
        throw error
      }
      return true
    })
  }

  async #stop(sandbox: LiveSandbox): Promise<void> {
    const { sandboxId, killReason = 'request' } = sandbox
    await within(
      NODE_STOP_TIMEOUT_MS,
      this.node.stop(sandbox.machineId),
      `sandbox '${sandboxId}' does not stop`,
    )
    if (sandbox.state === 'killed') return
    become(sandbox, 'killed')
    this.registry.remove(sandboxId)
    const endedAtMs = this.now()
    await this.eventually(`recording the end of sandbox ${sandboxId}`, () =>
      this.repository.setKilled(
        sandboxId,
        killReason,
        endedAtMs,
        killedEvent(sandbox, endedAtMs, killReason),
      ),
    )
    this.inBackground('forgetting a sandbox', () => this.forget(sandboxId))
  }

  /** Deletes what is left of one that has ended. */
  forget(sandboxId: string): Promise<void> {
    return this.eventually(`deleting what is left of sandbox ${sandboxId}`, () =>
      this.#events.onEnded(sandboxId),
    )
  }

  /** Waits for what is under way, at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    await this.underWay.settle(timeoutMs)
    this.#isClosed = true
    this.deadlines.close()
    this.#retries.close()
  }
}

export const movedTo = (sandboxId: string, to: string): SandlotError =>
  new SandlotError('conflict', `Sandbox "${sandboxId}" was taken over by '${to}' and goes on there`)

export const notFound = (sandboxId: string): SandlotError =>
  new SandlotError(
    'not_found',
    `Sandbox "${sandboxId.slice(0, 100)}" doesn't exist or you don't have access to it`,
  )
