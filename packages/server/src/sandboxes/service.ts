import { randomUUID } from 'node:crypto'
import type { BuildInfo, SandboxNode } from '@sandlot/node'
import { isSandboxId, newAccessToken, newSandboxId, SandlotError } from '@sandlot/protocol'
import type { NewSandbox } from '@sandlot/protocol/rest'
import type { Logger } from 'pino'
import { DeadlineHeap } from '../deadline-heap.ts'
import { killedEvent, lifecycleEvent } from '../events/events.ts'
import { KeyedLock } from '../keyed-lock.ts'
import { Retries } from '../retries.ts'
import type { Team } from '../teams/team.ts'
import type { Template, TemplateCatalogue } from '../templates/catalogue.ts'
import { UnderWay } from '../under-way.ts'
import { within } from '../within.ts'
import { ConcurrencyLimit, checkLength } from './limits.ts'
import type { SandboxRegistry } from './registry.ts'
import type { SandboxRepository } from './repository.ts'
import type { LiveSandbox, SandboxSettings } from './sandbox.ts'
import { settingsOf } from './settings.ts'
import { canBecome, type KillReason, type SandboxState } from './state.ts'

const NODE_STOP_TIMEOUT_MS = 20_000
const MAX_CREATE_ATTEMPTS = 3

export interface SandboxServiceOptions {
  node: SandboxNode
  repository: SandboxRepository
  registry: SandboxRegistry
  catalogue: TemplateCatalogue
  logger: Logger
  now: () => number
}

/** The rules of a sandbox's life. One lock a sandbox; the row always says what is about to be done. */
export class SandboxService {
  readonly #options: SandboxServiceOptions
  readonly #lock = new KeyedLock()
  readonly #deadlines: DeadlineHeap
  readonly #concurrency: ConcurrencyLimit
  readonly #retries: Retries
  readonly #underWay = new UnderWay()
  #isDraining = false
  #isClosed = false

  constructor(options: SandboxServiceOptions) {
    const { node, registry, logger, now } = options
    this.#options = options
    this.#concurrency = new ConcurrencyLimit(registry)
    this.#retries = new Retries((err, what) => logger.warn({ err }, `${what} failed again`))
    this.#deadlines = new DeadlineHeap({
      now,
      onExpired: (sandboxId) => this.#endUnasked(sandboxId, 'timeout'),
    })
    node.on('exit', ({ machineId, reason }) => {
      const sandbox = registry.byMachine(machineId)
      if (sandbox) this.#endUnasked(sandbox.sandboxId, `exited: ${reason}`)
    })
  }

  /** @throws SandlotError not_found, invalid_request, not_implemented, rate_limited, sandbox_capacity_unavailable … */
  async create(team: Team, body: NewSandbox): Promise<LiveSandbox> {
    if (this.#isDraining)
      throw new SandlotError('server_draining', 'the server is shutting down; try again in a moment', {
        retryAfterSeconds: 5,
      })
    const template = this.#options.catalogue.resolve(body.templateID, team)
    checkLength(team.plan, body.timeout)
    const settings = settingsOf(body)
    const release = this.#concurrency.reserve(team)
    return this.#underWay.add(this.#create(team, template, settings, body, release).finally(release))
  }

  async #create(
    team: Team,
    { build, templateId, name }: Template,
    settings: SandboxSettings,
    body: NewSandbox,
    release: () => void,
  ): Promise<LiveSandbox> {
    for (let attempt = 1; ; attempt++) {
      const machine = await this.#options.node.acquire(build.buildId)
      const now = this.#options.now()
      const sandbox: LiveSandbox = {
        sandboxId: newSandboxId(),
        teamId: team.teamId,
        templateId,
        templateName: name,
        buildId: build.buildId,
        executionId: randomUUID(),
        machineId: machine.machineId,
        address: machine.address,
        state: 'starting',
        startedAtMs: now,
        endAtMs: now + settings.timeoutSeconds * 1000,
        envdAccessToken: settings.secure ? newAccessToken() : undefined,
        settings,
        metadata: body.metadata ?? {},
        cpuCount: build.cpuCount,
        memoryMB: build.memoryMB,
        diskSizeMB: build.diskSizeMB,
      }
      try {
        await this.#begin(sandbox, body.envVars ?? {}, build)
      } catch (error) {
        // a machine may die between the pool's last look and now: the next one is as good
        const isRetryable = error instanceof SandlotError && error.errorName === 'sandbox_create_failed'
        if (!isRetryable || attempt === MAX_CREATE_ATTEMPTS) throw error
        this.#options.logger.warn(
          { err: error, machineId: machine.machineId },
          'a warm machine failed; trying the next',
        )
        continue
      }
      release()
      this.#show(sandbox)
      // its exit was announced before the registry knew it
      if (this.#options.node.addressOf(sandbox.machineId) === undefined)
        this.#endUnasked(sandbox.sandboxId, 'exited: while it started')
      return sandbox
    }
  }

  async #begin(sandbox: LiveSandbox, envVars: Record<string, string>, build: BuildInfo): Promise<void> {
    const { node, repository, logger, now } = this.#options
    try {
      await repository.insert(sandbox)
      await node.init(sandbox.machineId, {
        sandboxId: sandbox.sandboxId,
        templateId: sandbox.templateId,
        accessToken: sandbox.envdAccessToken ?? '',
        envVars,
        defaultUser: build.defaultUser,
        defaultWorkdir: build.defaultWorkdir,
        allowInternetAccess: sandbox.settings.allowInternetAccess !== false,
      })
      if (node.addressOf(sandbox.machineId) === undefined)
        throw new SandlotError('sandbox_create_failed', 'the sandbox ended by itself while it started')
      become(sandbox, 'running')
      sandbox.startedAtMs = now()
      sandbox.endAtMs = sandbox.startedAtMs + sandbox.settings.timeoutSeconds * 1000
      await repository.setRunning(sandbox, lifecycleEvent('created', sandbox, sandbox.startedAtMs))
    } catch (error) {
      await within(NODE_STOP_TIMEOUT_MS, node.stop(sandbox.machineId)).catch((err) => {
        logger.warn({ err, machineId: sandbox.machineId }, 'a half made sandbox does not stop')
        this.#retries.later('stopping a half made sandbox', () => node.stop(sandbox.machineId))
      })
      const settle = () => repository.setKilled(sandbox.sandboxId, 'create_failed', now())
      await settle().catch(() => this.#retries.later('recording a failed create', settle))
      throw error
    }
  }

  /** From now on it is found, routed to and ended in time. */
  #show(sandbox: LiveSandbox): void {
    this.#options.registry.add(sandbox)
    this.#options.registry.show(sandbox)
    this.#deadlines.set(sandbox.sandboxId, sandbox.endAtMs)
  }

  /** @throws SandlotError not_found */
  get(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.#find(team, sandboxId)
    if (sandbox?.state !== 'running') throw notFound(sandboxId)
    return sandbox
  }

  #find(team: Team, sandboxId: string): LiveSandbox | undefined {
    const sandbox = isSandboxId(sandboxId) ? this.#options.registry.get(sandboxId) : undefined
    return sandbox?.teamId === team.teamId ? sandbox : undefined
  }

  list(team: Team): LiveSandbox[] {
    const found: LiveSandbox[] = []
    for (const sandbox of this.#options.registry.all())
      if (sandbox.teamId === team.teamId && sandbox.state === 'running') found.push(sandbox)
    return found
  }

  async kill(team: Team, sandboxId: string): Promise<void> {
    this.get(team, sandboxId)
    if (!(await this.#end(sandboxId, 'request'))) throw notFound(sandboxId)
  }

  /** Nobody was told that it exists: it would hold its place until its deadline for no one. */
  abandon(sandboxId: string): void {
    this.#endUnasked(sandboxId, 'abandoned')
  }

  /** Only ever extends. @throws SandlotError conflict while it is being killed */
  async extend(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    if (this.#find(team, sandboxId)?.state === 'killing')
      throw new SandlotError('conflict', `Sandbox "${sandboxId}" is being killed`)
    const sandbox = this.get(team, sandboxId)
    checkLength(team.plan, seconds)
    const endAtMs = this.#options.now() + seconds * 1000
    if (endAtMs <= sandbox.endAtMs) return sandbox
    // another connect may extend it further while this one waits for the lock
    return this.#setEnd(team, sandboxId, (current) => Math.max(current, endAtMs))
  }

  async setTimeout(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    this.get(team, sandboxId)
    checkLength(team.plan, seconds)
    const endAtMs = this.#options.now() + seconds * 1000
    return this.#setEnd(team, sandboxId, () => endAtMs)
  }

  #setEnd(team: Team, sandboxId: string, endAtOf: (currentMs: number) => number): Promise<LiveSandbox> {
    return this.#lock.run(sandboxId, async () => {
      const sandbox = this.get(team, sandboxId)
      const endAtMs = endAtOf(sandbox.endAtMs)
      if (endAtMs === sandbox.endAtMs) return sandbox
      const event = lifecycleEvent('updated', sandbox, this.#options.now(), {
        set_timeout: new Date(endAtMs).toISOString(),
      })
      await this.#options.repository.setEnd(sandboxId, endAtMs, event)
      sandbox.endAtMs = endAtMs
      this.#deadlines.set(sandboxId, endAtMs)
      return sandbox
    })
  }

  /** Nobody waits for the answer, so what cannot be done now is done later. */
  #endUnasked(sandboxId: string, reason: KillReason): void {
    if (this.#isClosed) return
    this.#end(sandboxId, reason).catch((err) => {
      this.#options.logger.error({ err, sandboxId, reason }, 'a sandbox could not be ended yet')
      this.#retries.later(
        `ending sandbox ${sandboxId}`,
        async () => void (await this.#end(sandboxId, reason)),
      )
    })
  }

  /** @returns false when someone else ended it first */
  #end(sandboxId: string, reason: KillReason): Promise<boolean> {
    const ended = this.#lock.run(sandboxId, async () => {
      const { registry, repository, logger, now } = this.#options
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'running') return false
      // it may have been extended while this waited for the lock
      if (reason === 'timeout' && sandbox.endAtMs > now()) {
        this.#deadlines.set(sandboxId, sandbox.endAtMs)
        return false
      }
      // a full disk must not keep a sandbox alive: ending it is what frees space
      await repository
        .setKilling(sandboxId, reason)
        .catch((err) => logger.warn({ err, sandboxId }, 'that it is being killed could not be written'))
      become(sandbox, 'killing')
      sandbox.killReason = reason
      this.#deadlines.delete(sandboxId)
      registry.hide(sandboxId)
      try {
        await this.#stop(sandbox)
      } catch (error) {
        this.#retries.later(`stopping sandbox ${sandboxId}`, () => this.#stop(sandbox))
        throw error
      }
      return true
    })
    return this.#underWay.add(ended)
  }

  async #stop(sandbox: LiveSandbox): Promise<void> {
    const { node, registry, repository, now } = this.#options
    const { sandboxId, killReason = 'request' } = sandbox
    await within(NODE_STOP_TIMEOUT_MS, node.stop(sandbox.machineId), `sandbox '${sandboxId}' does not stop`)
    if (sandbox.state === 'killed') return
    become(sandbox, 'killed')
    registry.remove(sandboxId)
    const endedAtMs = now()
    const record = () =>
      repository.setKilled(sandboxId, killReason, endedAtMs, killedEvent(sandbox, endedAtMs, killReason))
    await record().catch(() => this.#retries.later(`recording the end of sandbox ${sandboxId}`, record))
  }

  /** Brings rows and machines together after a start: what ran goes on, what was under way is finished or undone. */
  async recover(): Promise<void> {
    const { node, repository, logger, now } = this.#options
    const rows = await repository.alive()
    const running = rows.filter((row) => row.state === 'running')
    const alive = await node.start(new Set(running.map((row) => row.machineId)))
    for (const sandbox of rows) {
      const address = alive.has(sandbox.machineId) ? node.addressOf(sandbox.machineId) : undefined
      if (sandbox.state === 'running' && address !== undefined) {
        sandbox.address = address
        this.#show(sandbox)
        continue
      }
      const reason = unfinishedReason(sandbox)
      const event = sandbox.state === 'starting' ? undefined : killedEvent(sandbox, now(), reason)
      // the disk may be full: what is not recorded now is found again by the next start
      await repository
        .setKilled(sandbox.sandboxId, reason, now(), event)
        .catch((err) =>
          logger.error({ err, sandboxId: sandbox.sandboxId }, 'the end of a sandbox was not recorded'),
        )
      if (reason === 'lost')
        logger.warn({ sandboxId: sandbox.sandboxId }, 'a sandbox was lost: its machine is gone')
    }
  }

  /** New creates are refused from now on. */
  refuseNew(): void {
    this.#isDraining = true
  }

  /** Creates and kills under way are waited for, at most `timeoutMs`; new creates are refused. */
  async drain(timeoutMs: number): Promise<void> {
    this.refuseNew()
    await this.#underWay.settle(timeoutMs)
    this.#isClosed = true
    this.#deadlines.close()
    this.#retries.close()
  }
}

/** Why a sandbox is over that a former server left in this state without a machine. */
function unfinishedReason({ state, killReason }: LiveSandbox): KillReason {
  if (state === 'starting') return 'create_failed'
  return state === 'killing' ? (killReason ?? 'request') : 'lost'
}

function become(sandbox: LiveSandbox, state: SandboxState): void {
  if (!canBecome(sandbox.state, state))
    throw new SandlotError(
      'conflict',
      `sandbox '${sandbox.sandboxId}' is ${sandbox.state} and cannot become ${state}`,
    )
  sandbox.state = state
}

export const notFound = (sandboxId: string): SandlotError =>
  new SandlotError(
    'not_found',
    `Sandbox "${sandboxId.slice(0, 100)}" doesn't exist or you don't have access to it`,
  )
