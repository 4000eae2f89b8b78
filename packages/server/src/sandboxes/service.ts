import { randomUUID } from 'node:crypto'
import { newAccessToken, newSandboxId, SandlotError } from '@sandlot/protocol'
import type { Joined, TakeoverRecords } from '@sandlot/protocol/node'
import type { NewSandbox } from '@sandlot/protocol/rest'
import { History } from '../checkpoints/history.ts'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { Checkpoints } from '../checkpoints/service.ts'
import { Handovers } from '../takeover/service.ts'
import { Storage } from '../teams/storage.ts'
import type { Team } from '../teams/team.ts'
import { runtimeEnvVarsOf, type Startable } from '../templates/registry.ts'
import type { Uploads } from '../uploads/service.ts'
import { Copies } from './forks.ts'
import { Life, type LifeOptions, notFound } from './operations.ts'
import { Pauses } from './pauses.ts'
import { recoverSandboxes } from './recovery.ts'
import type { LiveSandbox, SandboxSettings } from './sandbox.ts'
import { networkPolicyOf, settingsOf } from './settings.ts'

const MAX_CREATE_ATTEMPTS = 3

export interface SandboxServiceOptions extends LifeOptions {
  checkpoints: CheckpointRepository
  /** Of what a team keeps beside checkpoints. */
  uploads: Pick<Uploads, 'usage'>
  /** Of the database that the rows are in. */
  instanceId: string
  /** By which another machine can go on with paused sandboxes. */
  records?: TakeoverRecords
}

export interface ListOptions {
  isMatch?: (sandbox: LiveSandbox) => boolean
  limit?: number
}

/** The rules of a sandbox's life. */
export class SandboxService {
  readonly pauses: Pauses
  readonly copies: Copies
  readonly history: History
  readonly storage: Storage
  readonly handovers: Handovers
  readonly #life: Life
  readonly #checkpoints: CheckpointRepository
  readonly #kept: Checkpoints
  readonly #instanceId: string
  /** Of this process, for the node. */
  readonly #sessionId = randomUUID()
  #isDraining = false

  constructor({ checkpoints, uploads, instanceId, records, ...options }: SandboxServiceOptions) {
    this.#life = new Life(options, {
      onDeadline: (sandboxId) => this.#atDeadline(sandboxId),
      onEnded: async (sandboxId) => this.#kept.forget(sandboxId, await this.handovers.end(sandboxId)),
    })
    this.#checkpoints = checkpoints
    this.#instanceId = instanceId
    this.storage = new Storage(this.#life.node, checkpoints, uploads)
    this.#kept = new Checkpoints(this.#life, checkpoints, this.storage)
    this.copies = new Copies(this.#life, this.#kept)
    this.handovers = new Handovers(this.#life, checkpoints, records)
    this.history = new History(this.#life, this.#kept, checkpoints, this.handovers)
    this.pauses = new Pauses(this.#life, this.history, this.#kept, this.handovers)
    options.registry.onWake((sandboxId) => this.pauses.wake(sandboxId))
  }

  #atDeadline(sandboxId: string): void {
    const autoPause = this.#life.registry.get(sandboxId)?.settings.autoPause
    if (autoPause) this.pauses.autoPause(sandboxId, autoPause.hasMemory)
    else this.#life.endUnasked(sandboxId, 'timeout')
  }

  /** @throws SandlotError not_found, invalid_request, not_implemented, rate_limited, sandbox_capacity_unavailable … */
  async create(team: Team, body: NewSandbox): Promise<LiveSandbox> {
    this.#checkOpen()
    this.#life.limits.checkCreateRate(team)
    const startable = this.#life.catalogue.resolve(body.templateID, team)
    this.#life.limits.checkLength(team, body.timeout)
    this.#life.limits.checkSandbox(team, startable.build)
    const settings = settingsOf(body)
    this.#life.checkSecure(settings, 'set secure to true, which clients from 2.0 on do by themselves')
    // kept with the sandbox: its template may be built anew while it is paused
    settings.envVars = { ...runtimeEnvVarsOf(startable.build), ...settings.envVars }
    const release = this.#life.limits.reserve(team)
    return this.#life.underWay.add(this.#create(team, startable, settings, body, release).finally(release))
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
    for (let attempt = 1; ; attempt++) {
      const machine = await this.#life.node.acquire(build.buildId, {
        owner: team.teamId,
        network: networkPolicyOf(settings),
      })
      const now = this.#life.now()
      const sandbox: LiveSandbox = {
        sandboxId: newSandboxId(),
        teamId: team.teamId,
        templateId: template.templateId,
        templateName: template.name ?? template.templateId,
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
        defaultUser: build.defaultUser,
        defaultWorkdir: build.defaultWorkdir,
      }
      try {
        await this.#life.begin(sandbox)
      } catch (error) {
        // a machine may die between the pool's last look and now: the next one is as good
        const isRetryable = error instanceof SandlotError && error.errorName === 'sandbox_create_failed'
        if (!isRetryable || attempt === MAX_CREATE_ATTEMPTS) throw error
        this.#life.logger.warn(
          { err: error, machineId: machine.machineId },
          'a warm machine failed; trying the next',
        )
        continue
      }
      release()
      this.#life.show(sandbox)
      return sandbox
    }
  }

  /** @throws SandlotError not_found */
  get(team: Team, sandboxId: string): LiveSandbox {
    return this.#life.get(team, sandboxId)
  }

  /** @param limit it looks no further when it has so many */
  list(
    team: Team,
    states: ReadonlySet<string>,
    { isMatch = () => true, limit = Number.POSITIVE_INFINITY }: ListOptions = {},
  ): LiveSandbox[] {
    const found: LiveSandbox[] = []
    for (const sandbox of this.#life.registry.ofTeam(team.teamId)) {
      if (!states.has(shownState(sandbox)) || !isMatch(sandbox)) continue
      if (found.push(sandbox) >= limit) break
    }
    return found
  }

  isRunning(team: Team, sandboxId: string): boolean {
    return this.#life.find(team, sandboxId)?.state === 'running'
  }

  async kill(team: Team, sandboxId: string): Promise<void> {
    this.get(team, sandboxId)
    if (!(await this.#life.end(sandboxId, 'request'))) throw notFound(sandboxId)
  }

  /** Nobody was told that it exists: it would hold its place until its deadline for no one. */
  abandon(sandboxId: string): void {
    this.#life.endUnasked(sandboxId, 'abandoned')
  }

  extend(team: Team, sandboxId: string, seconds: number): Promise<LiveSandbox> {
    return this.#life.extend(team, sandboxId, seconds)
  }

  async setTimeout(team: Team, sandboxId: string, seconds: number): Promise<void> {
    this.#life.getRunning(team, sandboxId)
    this.#life.limits.checkLength(team, seconds)
    const endAtMs = this.#life.now() + seconds * 1000
    await this.#life.exclusively(sandboxId, () =>
      this.#life.setEnd(this.#life.getRunning(team, sandboxId), endAtMs),
    )
  }

  /** Brings rows and machines together after a start. */
  async recover(): Promise<Joined> {
    const ids = { instanceId: this.#instanceId, sessionId: this.#sessionId }
    const { deleting, joined } = await recoverSandboxes(this.#life, this.#checkpoints, ids)
    this.#life.inBackground('deleting what a former server was deleting', async () => {
      for (const checkpointId of deleting) await this.#kept.remove(checkpointId)
      for (const sandboxId of await this.#life.repository.endedWithCheckpoints())
        await this.#life.forget(sandboxId)
    })
    this.handovers.start()
    return joined
  }

  /** New creates are refused from now on. */
  refuseNew(): void {
    this.#isDraining = true
  }

  /** Creates and kills under way are waited for, at most `timeoutMs`; new creates are refused. */
  async drain(timeoutMs: number): Promise<void> {
    this.refuseNew()
    this.handovers.close()
    await this.#life.close(timeoutMs)
  }
}

/** Clients know two states. One that is being put away is paused already: nothing reaches it. */
export const shownState = ({ state }: LiveSandbox): 'running' | 'paused' | 'none' =>
  state === 'running' ? 'running' : state === 'pausing' || state === 'paused' ? 'paused' : 'none'
