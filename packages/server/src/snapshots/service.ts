import { randomUUID } from 'node:crypto'
import { afterActing } from '@sandlot/protocol'
import type { CheckpointService } from '../checkpoints/service.ts'
import type { SandboxOperations } from '../sandboxes/operations.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'
import type { Team } from '../teams/team.ts'
import { DEFAULT_TAG, parseNewReference, parseReference } from '../templates/reference.ts'
import type { BuildRecord, TemplateRecord } from '../templates/repository.ts'
import { type Snapshot, toSnapshot } from './snapshot.ts'

export interface ListedSnapshot extends Snapshot {
  createdAtMs: number
  buildId: string
}

export interface SnapshotFilter {
  /** Sandbox that the snapshots were taken from. */
  sandboxId?: string
  /** Name or id, with or without a tag. */
  name?: string
}

/** Snapshots: copies of running sandboxes, kept as templates that other sandboxes start from. */
export class SnapshotService {
  readonly #operations: SandboxOperations
  readonly #checkpoints: CheckpointService

  constructor(operations: SandboxOperations, checkpoints: CheckpointService) {
    this.#operations = operations
    this.#checkpoints = checkpoints
  }

  /**
   * @param name `name` or `name:tag`; absent: only the id finds the snapshot
   * @param hasMemory false: saves only the file system, and sandboxes made from the snapshot boot
   * @throws SandlotError not_found, invalid_request, quota_exceeded, conflict while the sandbox is paused
   */
  async create(team: Team, sandboxId: string, name?: string, hasMemory = true): Promise<Snapshot> {
    const reference = name === undefined ? undefined : parseNewReference(name, team.slug)
    const { templates, limits, node, now } = this.#operations
    limits.checkBuilds(team, { all: templates.countOf(team), unfinished: 0 })
    const { sandbox, checkpointId } = await this.#checkpoints.save(team, sandboxId, 'snapshot', hasMemory)
    const nowMs = now()
    const tag = reference?.tag ?? DEFAULT_TAG
    const make = async ({ templateId }: TemplateRecord) => {
      const name = reference?.name ?? templateId
      const build: BuildRecord = { ...buildOf(sandbox, checkpointId, nowMs), templateId, name, tags: [tag] }
      await node.addBuild(build)
      return build
    }
    const adding = templates.addBuild(team, reference?.name ?? null, nowMs, make, ({ buildId }) =>
      node.removeBuild(buildId),
    )
    // not retryable: the sandbox has one more checkpoint by now
    const { template } = await adding.catch((error) => {
      throw afterActing(error)
    })
    return toSnapshot(template, tag, team.slug)
  }

  /** Lists a team's snapshots; a filter with an unknown name or id matches none. */
  list(team: Team, filter: SnapshotFilter): ListedSnapshot[] {
    const { templates } = this.#operations
    const wanted = filter.name === undefined ? undefined : parseReference(filter.name)
    const named = filter.name && templates.find(filter.name.split(':')[0]!, team)
    const found: ListedSnapshot[] = []
    for (const template of templates.visibleTo(team)) {
      if (template.teamId !== team.teamId) continue
      if (wanted && (!named || named.templateId !== template.templateId)) continue
      for (const [tag, build] of template.tags) {
        if (!('checkpointId' in build)) continue
        const { sandboxId, createdAtMs, buildId } = build as BuildRecord
        if (!sandboxId) continue
        if (filter.sandboxId !== undefined && filter.sandboxId !== sandboxId) continue
        if (wanted?.tag !== undefined && wanted.tag !== tag) continue
        found.push({ ...toSnapshot(template, tag, team.slug), createdAtMs, buildId })
      }
    }
    return found
  }
}

/** Describes the build of a snapshot, without the template that the build belongs to. */
const buildOf = (
  sandbox: LiveSandbox,
  checkpointId: string,
  nowMs: number,
): Omit<BuildRecord, 'templateId' | 'name' | 'tags'> => ({
  buildId: randomUUID(),
  sandboxId: sandbox.sandboxId,
  checkpointId,
  createdAtMs: nowMs,
  updatedAtMs: nowMs,
  finishedAtMs: nowMs,
  cpuCount: sandbox.cpuCount,
  memoryMB: sandbox.memoryMB,
  diskSizeMB: sandbox.diskSizeMB,
  defaultUser: sandbox.defaultUser,
  defaultWorkdir: sandbox.defaultWorkdir,
  status: 'ready',
  envVars: {},
  runtimeEnvVars: {},
})
