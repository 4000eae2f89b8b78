import { randomUUID } from 'node:crypto'
import type { SandboxNode } from '@sandlot/node'
import { isSandboxId, newAccessToken, newSandboxId, SandlotError } from '@sandlot/protocol'
import type { NewSandbox } from '@sandlot/protocol/rest'
import type { Logger } from 'pino'
import { DeadlineHeap } from '../deadline-heap.ts'
import { killedEvent, lifecycleEvent } from '../events/events.ts'
import { KeyedLock } from '../keyed-lock.ts'
import type { Team } from '../teams/team.ts'
import type { TemplateCatalogue } from '../templates/catalogue.ts'
import type { SandboxRegistry } from './registry.ts'
import type { SandboxRepository } from './repository.ts'
import type { LiveSandbox } from './sandbox.ts'
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
  readonly #starting = new Map<string, number>()
  #inFlight = 0
  #isDraining = false

  constructor(options: SandboxServiceOptions) {
    this.#options = options
    this.#deadlines = new DeadlineHeap({
      now: options.now,
      onExpired: (sandboxId) => {
        this.#end(sandboxId, 'timeout').catch((err) =>
          options.logger.error({ err, sandboxId }, 'a sandbox could not be ended'),
        )
      },
    })
    options.node.on('exit', ({ machineId, reason }) => {
      const sandbox = options.registry.byMachine(machineId)
      if (!sandbox) return
      this.#end(sandbox.sandboxId, `exited: ${reason}`).catch((err) => options.logger.error({ err }, 'exit'))
    })
  }

  /** @throws SandlotError not_found, invalid_request, not_implemented, rate_limited, sandbox_capacity_unavailable … */
  async create(team: Team, body: NewSandbox): Promise<LiveSandbox> {
    if (this.#isDraining)
      throw new SandlotError('server_draining', 'the server is shutting down; try again in a moment', {
        retryAfterSeconds: 5,
      })
    const template = this.#options.catalogue.resolve(body.templateID, team)
    const settings = settingsOf(
      body,
      team.plan.maxLengthHours === null ? null : team.plan.maxLengthHours * 3600,
    )
    this.#checkConcurrency(team)
    this.#inFlight++
    this.#starting.set(team.teamId, (this.#starting.get(team.teamId) ?? 0) + 1)
    try {
      for (let attempt = 1; ; attempt++) {
        const { build, templateId, name } = template
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
          return await this.#begin(sandbox, body.envVars ?? {}, build)
        } catch (error) {
          // a machine may die between the pool's last look and now: the next one is as good
          const isRetryable = error instanceof SandlotError && error.errorName === 'sandbox_create_failed'
          if (!isRetryable || attempt === MAX_CREATE_ATTEMPTS) throw error
          this.#options.logger.warn(
            { err: error, machineId: machine.machineId },
            'a warm machine failed; trying the next',
          )
        }
      }
    } finally {
      this.#inFlight--
      const left = (this.#starting.get(team.teamId) ?? 1) - 1
      if (left > 0) this.#starting.set(team.teamId, left)
      else this.#starting.delete(team.teamId)
    }
  }

  async #begin(
    sandbox: LiveSandbox,
    envVars: Record<string, string>,
    build: { defaultUser: string; defaultWorkdir?: string },
  ): Promise<LiveSandbox> {
    const { node, registry, repository, now } = this.#options
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
      this.#become(sandbox, 'running')
      sandbox.startedAtMs = now()
      sandbox.endAtMs = sandbox.startedAtMs + sandbox.settings.timeoutSeconds * 1000
      await repository.setRunning(sandbox, lifecycleEvent('created', sandbox, sandbox.startedAtMs))
      registry.add(sandbox)
      registry.show(sandbox)
      this.#deadlines.set(sandbox.sandboxId, sandbox.endAtMs)
      // its exit was announced before the registry knew it
      if (node.addressOf(sandbox.machineId) === undefined)
        await this.#end(sandbox.sandboxId, 'exited: while it started')
      return sandbox
    } catch (error) {
      await node.stop(sandbox.machineId).catch(() => {})
      await repository.setKilled(sandbox.sandboxId, 'create_failed', now()).catch(() => {})
      throw error
    }
  }

  /** @throws SandlotError not_found */
  get(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = isSandboxId(sandboxId) ? this.#options.registry.get(sandboxId) : undefined
    if (!sandbox || sandbox.teamId !== team.teamId || sandbox.state !== 'running') throw notFound(sandboxId)
    return sandbox
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

  /** Only ever extends. */
  async extend(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    const sandbox = this.get(team, sandboxId)
    this.#checkLength(team, seconds)
    const endAtMs = this.#options.now() + seconds * 1000
    return endAtMs > sandbox.endAtMs ? this.#setEnd(team, sandboxId, endAtMs) : sandbox
  }

  async setTimeout(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    this.get(team, sandboxId)
    this.#checkLength(team, seconds)
    return this.#setEnd(team, sandboxId, this.#options.now() + seconds * 1000)
  }

  #setEnd(team: Team, sandboxId: string, endAtMs: number): Promise<LiveSandbox> {
    return this.#lock.run(sandboxId, async () => {
      const sandbox = this.get(team, sandboxId)
      const now = this.#options.now()
      const event = lifecycleEvent('updated', sandbox, now, { set_timeout: new Date(endAtMs).toISOString() })
      await this.#options.repository.setEnd(sandboxId, endAtMs, event)
      sandbox.endAtMs = endAtMs
      this.#deadlines.set(sandboxId, endAtMs)
      return sandbox
    })
  }

  /** @returns false when someone else ended it first */
  #end(sandboxId: string, reason: KillReason): Promise<boolean> {
    return this.#lock.run(sandboxId, async () => {
      const { registry, repository, now } = this.#options
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'running') return false
      // it may have been extended while this waited for the lock
      if (reason === 'timeout' && sandbox.endAtMs > now()) {
        this.#deadlines.set(sandboxId, sandbox.endAtMs)
        return false
      }
      await repository.setState(sandboxId, 'killing')
      this.#become(sandbox, 'killing')
      this.#deadlines.delete(sandboxId)
      registry.hide(sandboxId)
      try {
        await this.#finish(sandbox, reason)
      } catch (error) {
        // the row says killing: this is tried again now and then, and at the next start
        setTimeout(() => this.#finish(sandbox, reason).catch(() => {}), NODE_STOP_TIMEOUT_MS).unref()
        throw error
      }
      return true
    })
  }

  async #finish(sandbox: LiveSandbox, reason: KillReason): Promise<void> {
    const { node, registry, repository, now } = this.#options
    await withTimeout(
      node.stop(sandbox.machineId),
      NODE_STOP_TIMEOUT_MS,
      `sandbox '${sandbox.sandboxId}' does not stop`,
    )
    const endedAtMs = now()
    await repository.setKilled(sandbox.sandboxId, reason, endedAtMs, killedEvent(sandbox, endedAtMs, reason))
    this.#become(sandbox, 'killed')
    registry.remove(sandbox.sandboxId)
  }

  /** Brings rows and machines together after a start: what ran goes on, what was under way is finished or undone. */
  async recover(): Promise<void> {
    const { node, registry, repository, logger, now } = this.#options
    const rows = await repository.alive()
    const running = rows.filter((row) => row.state === 'running')
    const alive = await node.start(new Set(running.map((row) => row.machineId)))
    for (const sandbox of rows) {
      if (sandbox.state === 'running' && alive.has(sandbox.machineId)) {
        sandbox.address = node.addressOf(sandbox.machineId) ?? ''
        registry.add(sandbox)
        registry.show(sandbox)
        this.#deadlines.set(sandbox.sandboxId, sandbox.endAtMs)
        continue
      }
      const reason: KillReason =
        sandbox.state === 'starting' ? 'create_failed' : sandbox.state === 'running' ? 'lost' : 'request'
      const event = sandbox.state === 'starting' ? undefined : killedEvent(sandbox, now(), reason)
      await repository.setKilled(sandbox.sandboxId, reason, now(), event)
      if (reason === 'lost')
        logger.warn({ sandboxId: sandbox.sandboxId }, 'a sandbox was lost: its machine is gone')
    }
  }

  /** New creates are refused; those under way are waited for, at most `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isDraining = true
    const deadline = Date.now() + timeoutMs
    while (this.#inFlight > 0 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 10))
    this.#deadlines.close()
  }

  #checkConcurrency(team: Team): void {
    const limit = team.plan.concurrentSandboxes
    if (limit === null) return
    const count = this.#options.registry.countOf(team.teamId) + (this.#starting.get(team.teamId) ?? 0)
    if (count >= limit)
      throw new SandlotError(
        'rate_limited',
        `team '${team.name}' already runs ${count} sandboxes, its plan allows ${limit}; kill one first`,
      )
  }

  #checkLength(team: Team, seconds: number): void {
    const { maxLengthHours } = team.plan
    if (maxLengthHours !== null && seconds > maxLengthHours * 3600)
      throw new SandlotError('invalid_request', `Timeout cannot be greater than ${maxLengthHours} hours`)
  }

  #become(sandbox: LiveSandbox, state: SandboxState): void {
    if (!canBecome(sandbox.state, state))
      throw new SandlotError(
        'conflict',
        `sandbox '${sandbox.sandboxId}' is ${sandbox.state} and cannot become ${state}`,
      )
    sandbox.state = state
  }
}

export const notFound = (sandboxId: string): SandlotError =>
  new SandlotError(
    'not_found',
    `Sandbox "${sandboxId.slice(0, 100)}" doesn't exist or you don't have access to it`,
  )

function withTimeout<T>(work: Promise<T>, timeoutMs: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new SandlotError('operation_timeout', `${message} within ${timeoutMs / 1000} s`)),
      timeoutMs,
    )
  })
  return Promise.race([work, timeout]).finally(() => clearTimeout(timer))
}
