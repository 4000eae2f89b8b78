import { randomUUID } from 'node:crypto'
import { newAccessToken, newSandboxId, SandlotError } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'
import type { NewSandbox } from '@sandlot/protocol/rest'
import type { Team } from '../teams/team.ts'
import { runtimeEnvVarsOf, type Startable } from '../templates/registry.ts'
import type { Deadlines } from './deadlines.ts'
import { notFound } from './errors.ts'
import type { SandboxLifecycle } from './lifecycle.ts'
import { mcpVariables } from './mcp-variables.ts'
import { networkPolicyOf } from './network-policy.ts'
import type { NetworkLimits } from './network-settings.ts'
import type { SandboxOperations } from './operations.ts'
import type { LiveSandbox, SandboxSettings } from './sandbox.ts'
import { checkSecure, settingsOf } from './settings.ts'

const MAX_CREATE_ATTEMPTS = 3

export interface SandboxServiceOptions {
  operations: SandboxOperations
  lifecycle: SandboxLifecycle
  deadlines: Deadlines
  /** Refuses to create sandboxes without an access token, which anyone who knows the id can use. */
  requireSecure: boolean
  /** Commands of MCP servers by their keys, as the administrator has given them. */
  mcpCommands: () => Record<string, string[]>
  networkLimits: NetworkLimits
  /** Finds the volumes that a create names. @throws SandlotError invalid_request */
  mountsOf: (teamId: string, asked: NonNullable<NewSandbox['volumeMounts']>) => Promise<VolumeMount[]>
}

export interface ListOptions {
  isMatch?: (sandbox: LiveSandbox) => boolean
  limit?: number
}

/** Creates, finds and kills sandboxes, and sets how long they live. */
export class SandboxService {
  readonly #operations: SandboxOperations
  readonly #lifecycle: SandboxLifecycle
  readonly #deadlines: Deadlines
  readonly #requireSecure: boolean
  readonly #mcpCommands: SandboxServiceOptions['mcpCommands']
  readonly #networkLimits: NetworkLimits
  readonly #mountsOf: SandboxServiceOptions['mountsOf']
  #isDraining = false

  constructor(options: SandboxServiceOptions) {
    const { operations, lifecycle, deadlines, requireSecure, networkLimits, mountsOf } = options
    this.#operations = operations
    this.#mountsOf = mountsOf
    this.#lifecycle = lifecycle
    this.#deadlines = deadlines
    this.#requireSecure = requireSecure
    this.#mcpCommands = options.mcpCommands
    this.#networkLimits = networkLimits
  }

  /** @throws SandlotError not_found, invalid_request, not_implemented, rate_limited, quota_exceeded, sandbox_capacity_unavailable … */
  async create(team: Team, body: NewSandbox): Promise<LiveSandbox> {
    this.#checkOpen()
    this.#operations.limits.checkCreateRate(team)
    const startable = this.#operations.templates.resolve(body.templateID, team)
    this.#operations.limits.checkLength(team, body.timeout)
    this.#operations.limits.checkSandbox(team, startable.build)
    const settings = settingsOf(body, this.#networkLimits)
    checkSecure(
      settings,
      this.#requireSecure,
      'set secure to true, which clients from 2.0 on do by themselves',
    )
    // stored with the sandbox, because the template may be rebuilt while the sandbox is paused
    settings.envVars = {
      ...runtimeEnvVarsOf(startable.build),
      ...mcpVariables(settings.mcp, this.#mcpCommands),
      ...settings.envVars,
    }
    if (body.volumeMounts?.length)
      settings.volumeMounts = await this.#mountsOf(team.teamId, body.volumeMounts)
    const release = this.#operations.limits.reserve(team)
    return this.#operations.pending.add(
      this.#create(team, startable, settings, body, release).finally(release),
    )
  }

  #checkOpen(): void {
    if (!this.#isDraining) return
    throw new SandlotError('server_draining', 'the server is shutting down; try again in a moment', {
      retryAfterSeconds: 5,
    })
  }

  async #create(
    team: Team,
    { template, build }: Startable,
    settings: SandboxSettings,
    body: NewSandbox,
    release: () => void,
  ): Promise<LiveSandbox> {
    const { node, logger } = this.#operations
    for (let attempt = 1; ; attempt++) {
      const sandboxId = newSandboxId()
      const machine = await node.acquire(build.buildId, {
        owner: team.teamId,
        sandboxId,
        network: networkPolicyOf(settings),
        volumes: settings.volumeMounts,
      })
      const sandbox = this.#starting(team, { template, build }, settings, { ...machine, sandboxId })
      sandbox.metadata = body.metadata ?? {}
      try {
        await this.#lifecycle.begin(sandbox)
      } catch (error) {
        // the machine may have died after the pool last checked it; another one may still start
        const isRetryable = error instanceof SandlotError && error.errorName === 'sandbox_create_failed'
        if (!isRetryable || attempt === MAX_CREATE_ATTEMPTS) throw error
        logger.warn(
          { err: error, machineId: machine.machineId },
          'a warm machine failed; retrying with another one',
        )
        continue
      }
      release()
      this.#lifecycle.show(sandbox)
      return sandbox
    }
  }

  #starting(
    team: Team,
    { template, build }: Startable,
    settings: SandboxSettings,
    { machineId, address, sandboxId }: Pick<LiveSandbox, 'machineId' | 'address' | 'sandboxId'>,
  ): LiveSandbox {
    const now = this.#operations.now()
    return {
      sandboxId,
      teamId: team.teamId,
      templateId: template.templateId,
      templateName: template.name ?? template.templateId,
      buildId: build.buildId,
      executionId: randomUUID(),
      machineId,
      address,
      state: 'starting',
      startedAtMs: now,
      endAtMs: now + settings.timeoutSeconds * 1000,
      envdAccessToken: settings.secure ? newAccessToken() : undefined,
      settings,
      metadata: {},
      cpuCount: build.cpuCount,
      memoryMB: build.memoryMB,
      diskSizeMB: build.diskSizeMB,
      defaultUser: build.defaultUser,
      defaultWorkdir: build.defaultWorkdir,
    }
  }

  /** @throws SandlotError not_found */
  get(team: Team, sandboxId: string): LiveSandbox {
    return this.#operations.get(team, sandboxId)
  }

  /** Lists a team's sandboxes in some of the states that clients know. @param limit stops after this number */
  list(
    team: Team,
    states: ReadonlySet<string>,
    { isMatch = () => true, limit = Number.POSITIVE_INFINITY }: ListOptions = {},
  ): LiveSandbox[] {
    const found: LiveSandbox[] = []
    for (const sandbox of this.#operations.registry.ofTeam(team.teamId)) {
      if (!states.has(shownState(sandbox)) || !isMatch(sandbox)) continue
      if (found.push(sandbox) >= limit) break
    }
    return found
  }

  isRunning(team: Team, sandboxId: string): boolean {
    return this.#operations.find(team, sandboxId)?.state === 'running'
  }

  async kill(team: Team, sandboxId: string): Promise<void> {
    this.get(team, sandboxId)
    if (!(await this.#lifecycle.end(sandboxId, 'request'))) throw notFound(sandboxId)
  }

  /** Ends a sandbox whose creator disconnected before it received the id, as no caller can use or kill it. */
  abandon(sandboxId: string): void {
    this.#lifecycle.endInBackground(sandboxId, 'abandoned')
  }

  /** Lets a sandbox live at least `seconds` from now. */
  extend(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    return this.#deadlines.extend(team, sandboxId, seconds)
  }

  /** Lets a sandbox live exactly `seconds` from now. */
  setTimeout(team: Team, sandboxId: string, seconds: number): Promise<void> {
    return this.#deadlines.setTimeout(team, sandboxId, seconds)
  }

  /** Refuses new creates from now on. */
  refuseNew(): void {
    this.#isDraining = true
  }

  /** Refuses new creates and waits for pending creates and kills, at most `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    this.refuseNew()
    await this.#operations.close(timeoutMs)
    this.#deadlines.close()
  }
}

/**
 * The state that clients see. They know two; a sandbox that is being paused is shown as paused, as no request reaches it.
 */
export const shownState = ({ state }: LiveSandbox): 'running' | 'paused' | 'none' =>
  state === 'running' ? 'running' : state === 'pausing' || state === 'paused' ? 'paused' : 'none'
