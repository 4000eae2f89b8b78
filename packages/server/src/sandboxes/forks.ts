import { randomUUID } from 'node:crypto'
import { afterActing, newAccessToken, newSandboxId, SandlotError } from '@sandlot/protocol'
import type { ReleasePlan } from '@sandlot/protocol/node'
import type { Checkpoints } from '../checkpoints/service.ts'
import type { Team } from '../teams/team.ts'
import { parseNewReference, parseReference } from '../templates/reference.ts'
import type { Template } from '../templates/registry.ts'
import type { BuildRecord } from '../templates/repository.ts'
import type { Life } from './operations.ts'
import type { LiveSandbox } from './sandbox.ts'
import { networkPolicyOf } from './settings.ts'

export interface Snapshot {
  snapshotId: string
  names: string[]
}

export interface ListedSnapshot extends Snapshot {
  createdAtMs: number
  buildId: string
}

/** Copies of running sandboxes: snapshots to start others from, and forks. */
export class Copies {
  readonly #life: Life
  readonly #checkpoints: Checkpoints

  constructor(life: Life, checkpoints: Checkpoints) {
    this.#life = life
    this.#checkpoints = checkpoints
  }

  /**
   * @param name `name` or `name:tag`; absent: only the id finds it
   * @param hasMemory false: only the file system, and sandboxes made from it boot
   */
  async createSnapshot(team: Team, sandboxId: string, name?: string, hasMemory = true): Promise<Snapshot> {
    const reference = name === undefined ? undefined : parseNewReference(name, team.slug)
    const { catalogue, limits, node, now } = this.#life
    limits.checkBuilds(team, { all: catalogue.countOf(team), unfinished: 0 })
    const { sandbox, checkpointId } = await this.#checkpoints.save(team, sandboxId, 'snapshot', hasMemory)
    const nowMs = now()
    const tag = reference?.tag ?? 'default'
    const { cpuCount, memoryMB, diskSizeMB, defaultUser, defaultWorkdir } = sandbox
    const adding = catalogue.addBuild(team, reference?.name ?? null, nowMs, async (of) => {
      const build: BuildRecord = {
        buildId: randomUUID(),
        name: reference?.name ?? of.templateId,
        templateId: of.templateId,
        sandboxId,
        checkpointId,
        createdAtMs: nowMs,
        updatedAtMs: nowMs,
        finishedAtMs: nowMs,
        ...{ cpuCount, memoryMB, diskSizeMB, defaultUser, defaultWorkdir },
        status: 'ready',
        tags: [tag],
        envVars: {},
        runtimeEnvVars: {},
      }
      await node.addBuild(build)
      return build
    })
    // the sandbox has one checkpoint more by now
    const { template } = await adding.catch((error) => {
      throw afterActing(error)
    })
    return toSnapshot(template.templateId, template.name, tag, team.slug)
  }

  /** @param filter by source, and by name or id with or without tag; what does not exist finds nothing */
  listSnapshots(team: Team, filter: { sandboxId?: string; name?: string }): ListedSnapshot[] {
    const wanted = filter.name === undefined ? undefined : parseReference(filter.name)
    const template = filter.name && this.#life.catalogue.find(filter.name.split(':')[0]!, team)
    const found: ListedSnapshot[] = []
    for (const { teamId, templateId, name, tags } of this.#life.catalogue.visibleTo(team)) {
      if (teamId !== team.teamId || (wanted && (!template || template.templateId !== templateId))) continue
      for (const [tag, build] of tags) {
        if (!('checkpointId' in build)) continue
        const { sandboxId, createdAtMs, buildId } = build as BuildRecord
        if (!sandboxId) continue
        if (filter.sandboxId !== undefined && filter.sandboxId !== sandboxId) continue
        if (wanted?.tag !== undefined && wanted.tag !== tag) continue
        found.push({ ...toSnapshot(templateId, name, tag, team.slug), createdAtMs, buildId })
      }
    }
    return found
  }

  /** A snapshot or a template of a team. @throws SandlotError invalid_request while sandboxes use it */
  async deleteTemplate(template: Template): Promise<void> {
    const { catalogue, node, registry } = this.#life
    this.#checkUnused(template)
    const builds = template.builds.filter((build): build is BuildRecord => 'checkpointId' in build)
    // a source that is alive may still be saved as it, a fork of it only came from it
    const unused = builds
      .filter(({ sandboxId, checkpointId }) => registry.get(sandboxId ?? '')?.checkpointId !== checkpointId)
      .map(({ checkpointId }) => checkpointId)
    await catalogue.remove(template, unused)
    for (const { buildId } of template.builds) await node.removeBuild(buildId)
    for (const checkpointId of unused) await this.#checkpoints.remove(checkpointId)
  }

  /** What builds of a template have left beside the checkpoints, for `releaseTemplate` when these are gone. */
  planRelease = (checkpointIds: readonly string[]) => this.#life.node.planRelease(checkpointIds)

  releaseTemplate = (plan: ReleasePlan) => this.#life.node.releaseTemplate(plan)

  /** Sandboxes that were started from a template, paused ones too. */
  usersOf({ templateId }: Template): LiveSandbox[] {
    return [...this.#life.registry.all()].filter((sandbox) => sandbox.templateId === templateId)
  }

  #checkUnused(template: Template): void {
    const users = this.usersOf(template)
    // an id is all it takes to reach the ports of a sandbox: those of other teams, which may use what is public, stay unsaid
    const own = users.find(({ teamId }) => teamId === template.teamId)
    if (users.length > 0)
      throw new SandlotError(
        'invalid_request',
        `template '${template.templateId}' is used by ${users.length} sandboxes (${own ? `${own.sandboxId} among them` : 'of other teams'}): ${own ? 'kill them first' : 'unpublish it and wait for their end'}`,
      )
  }

  /** Copies of a running sandbox; each succeeds or fails by itself. */
  async fork(
    team: Team,
    sandboxId: string,
    count: number,
    seconds: number,
  ): Promise<Array<LiveSandbox | SandlotError>> {
    this.#life.limits.checkLength(team, seconds)
    const { settings } = this.#life.get(team, sandboxId)
    this.#life.checkSecure(settings, 'fork one that was created with secure: true')
    const { sandbox, checkpointId } = await this.#checkpoints.save(team, sandboxId, 'fork')
    try {
      return await Promise.all(
        Array.from({ length: count }, () =>
          this.#startFork(team, sandbox, checkpointId, seconds).catch((error) =>
            error instanceof SandlotError
              ? error
              : new SandlotError('sandbox_create_failed', `a fork could not be made: ${error.message}`, {
                  cause: error,
                }),
          ),
        ),
      )
    } finally {
      this.#life.inBackground('deleting what copies were made from', () =>
        this.#checkpoints.remove(checkpointId),
      )
    }
  }

  async #startFork(
    team: Team,
    source: LiveSandbox,
    checkpointId: string,
    seconds: number,
  ): Promise<LiveSandbox> {
    const { node, now } = this.#life
    this.#life.limits.checkCreateRate(team)
    const release = this.#life.limits.reserve(team)
    try {
      const machine = await node.resume(checkpointId, {
        hasMemory: true,
        owner: team.teamId,
        network: networkPolicyOf(source.settings),
      })
      const startedAtMs = now()
      const fork: LiveSandbox = {
        ...source,
        sandboxId: newSandboxId(),
        executionId: randomUUID(),
        machineId: machine.machineId,
        address: machine.address,
        state: 'starting',
        startedAtMs,
        endAtMs: startedAtMs + seconds * 1000,
        envdAccessToken: source.envdAccessToken && newAccessToken(),
        checkpointId: source.checkpointId,
        saved: undefined,
        settings: {
          ...source.settings,
          trafficAccessToken: source.settings.trafficAccessToken && newAccessToken(),
          timeoutSeconds: seconds,
        },
      }
      await this.#life.begin(fork)
      release()
      this.#life.show(fork)
      return fork
    } finally {
      release()
    }
  }
}

/** As clients write it: `<id>:<tag>`, or `<team>/<name>:<tag>` when it has a name. */
export const toSnapshot = (templateId: string, name: string | null, tag: string, slug: string): Snapshot =>
  name === null
    ? { snapshotId: `${templateId}:${tag}`, names: [] }
    : { snapshotId: `${slug}/${name}:${tag}`, names: [`${slug}/${name}`] }
