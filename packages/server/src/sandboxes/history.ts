import { randomUUID } from 'node:crypto'
import type { FileDiff, GarbageReport } from '@sandlot/node'
import { newAccessToken, newCheckpointId, newSandboxId, SandlotError } from '@sandlot/protocol'
import { lifecycleEvent } from '../events/events.ts'
import type { Team } from '../teams/team.ts'
import type { Template } from '../templates/catalogue.ts'
import { parseNewReference, parseReference } from '../templates/reference.ts'
import type { BuildRecord } from '../templates/repository.ts'
import { within } from '../within.ts'
import type { CheckpointRecord, CheckpointRepository, NewCheckpoint } from './checkpoint-repository.ts'
import type { Life } from './life.ts'
import { checkLength } from './limits.ts'
import type { KeepPolicy, LiveSandbox } from './sandbox.ts'
import type { CheckpointReason } from './state.ts'

const STOP_TIMEOUT_MS = 20_000
export const DEFAULT_KEEP: KeepPolicy = { last: 3 }

export interface Snapshot {
  snapshotId: string
  names: string[]
}

export interface ListedSnapshot extends Snapshot {
  createdAtMs: number
  buildId: string
}

export interface SandboxDiff extends FileDiff {
  fromId: string
  toId: string
}

export interface TreeNode extends CheckpointRecord {
  /** The sandbox descends from it directly: it is paused as it, or ran on from it. */
  isHead: boolean
  /** It is a snapshot too, under these names. */
  names: string[]
}

/** Copies sandboxes and rewinds them: snapshots, forks, and the tree of checkpoints that each leaves. */
export class History {
  readonly #life: Life
  readonly #checkpoints: CheckpointRepository

  constructor(life: Life, checkpoints: CheckpointRepository) {
    this.#life = life
    this.#checkpoints = checkpoints
  }

  /** @param name `name` or `name:tag`; absent: only the id finds it */
  async createSnapshot(team: Team, sandboxId: string, name?: string): Promise<Snapshot> {
    const reference = name === undefined ? undefined : parseNewReference(name, team.slug)
    const { catalogue, node, now } = this.#life
    const { sandbox, checkpointId } = await this.#save(team, sandboxId, 'snapshot')
    const nowMs = now()
    const tag = reference?.tag ?? 'default'
    const { cpuCount, memoryMB, diskSizeMB, defaultUser, defaultWorkdir } = sandbox
    const { template } = await catalogue.addBuild(team, reference?.name ?? null, nowMs, async (of) => {
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
      }
      await node.addBuild(build)
      return build
    })
    return toSnapshot(template.templateId, template.name, tag, team.slug)
  }

  /** A point to come back to, without a template. @throws SandlotError conflict while it is paused */
  async createCheckpoint(team: Team, sandboxId: string): Promise<TreeNode> {
    const { checkpointId } = await this.#save(team, sandboxId, 'checkpoint')
    return (await this.tree(team, sandboxId)).find((node) => node.checkpointId === checkpointId)!
  }

  /** Saves a running sandbox, which goes on. */
  #save(
    team: Team,
    sandboxId: string,
    why: CheckpointReason,
  ): Promise<{ sandbox: LiveSandbox; checkpointId: string; stoppedMs: number }> {
    this.#life.get(team, sandboxId)
    return this.#life.exclusively(sandboxId, async () => {
      const { node, repository, now } = this.#life
      if (why !== 'fork') await this.#checkQuota(team)
      const sandbox = this.#running(team, sandboxId)
      const checkpoint = this.newCheckpoint(sandbox, why, true)
      const { checkpointId } = checkpoint
      await this.#checkpoints.insert(checkpoint)
      try {
        const saved = await node.snapshot(sandbox.machineId, checkpointId)
        await this.#checkpoints.complete(saved)
        if (why !== 'fork') {
          const event = lifecycleEvent('checkpointed', sandbox, now(), {
            checkpoint: { id: checkpointId, why, size_bytes: saved.sizeBytes, stopped_ms: saved.stoppedMs },
          })
          await repository.setHead(sandboxId, checkpointId, event)
          sandbox.checkpointId = checkpointId
          this.prune(sandbox)
        }
        return { sandbox, checkpointId, stoppedMs: saved.stoppedMs }
      } catch (error) {
        await this.#removeCheckpoint(checkpointId)
        throw error
      }
    })
  }

  /** Copies of a running sandbox; each succeeds or fails by itself. */
  async fork(
    team: Team,
    sandboxId: string,
    count: number,
    seconds: number,
  ): Promise<Array<LiveSandbox | SandlotError>> {
    checkLength(team.plan, seconds)
    const { sandbox, checkpointId } = await this.#save(team, sandboxId, 'fork')
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
      await this.#removeCheckpoint(checkpointId)
    }
  }

  async #startFork(
    team: Team,
    source: LiveSandbox,
    checkpointId: string,
    seconds: number,
  ): Promise<LiveSandbox> {
    const { node, now } = this.#life
    const release = this.#life.reserve(team)
    try {
      const machine = await node.resume(checkpointId, { hasMemory: true })
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

  /** Takes a sandbox back to an earlier checkpoint of its own; what happened since is gone. */
  rollback(team: Team, sandboxId: string, checkpointId: string): Promise<LiveSandbox> {
    this.#life.get(team, sandboxId)
    return this.#life.exclusively(sandboxId, async () => {
      const { node, repository, registry, now } = this.#life
      const sandbox = this.#life.get(team, sandboxId)
      const checkpoint = await this.#checkpoints.find(checkpointId)
      if (checkpoint?.sandboxId !== sandboxId || !checkpoint.isComplete)
        throw new SandlotError(
          'not_found',
          `sandbox '${sandboxId}' has no checkpoint '${checkpointId.slice(0, 100)}'; its tree lists them`,
        )
      const event = (of: LiveSandbox) =>
        lifecycleEvent('updated', of, now(), { rollback: { checkpoint_id: checkpointId } })
      if (sandbox.state === 'paused') {
        // its frozen memory is a later one: a crash must not find it beside the older checkpoint
        await node.stop(sandbox.machineId)
        await repository.setHead(sandboxId, checkpointId, event(sandbox))
        sandbox.checkpointId = checkpointId
        return sandbox
      }
      const { machineId, address } = await node.resume(checkpointId, { hasMemory: checkpoint.hasMemory })
      const before = sandbox.machineId
      const rolledBack: LiveSandbox = {
        ...sandbox,
        machineId,
        address,
        executionId: randomUUID(),
        checkpointId,
      }
      try {
        await node.init(machineId, this.#life.initOf(rolledBack))
        await repository.setResumed(rolledBack, event(rolledBack))
      } catch (error) {
        this.#life.later('stopping a half rolled back machine', () => node.stop(machineId), 0)
        throw error
      }
      registry.hide(sandboxId)
      registry.replace(sandbox, rolledBack)
      registry.show(sandbox)
      await within(STOP_TIMEOUT_MS, node.stop(before)).catch(() =>
        this.#life.later('stopping a machine that was rolled back', () => node.stop(before)),
      )
      return sandbox
    })
  }

  /** Oldest first. */
  async tree(team: Team, sandboxId: string): Promise<TreeNode[]> {
    const sandbox = this.#life.get(team, sandboxId)
    const names = new Map<string, string[]>()
    for (const template of this.#life.catalogue.visibleTo(team))
      for (const [tag, build] of template.tags)
        if ('checkpointId' in build) {
          const { snapshotId } = toSnapshot(template.templateId, template.name, tag, team.slug)
          const id = build.checkpointId as string
          names.set(id, [...(names.get(id) ?? []), snapshotId])
        }
    return (await this.#checkpoints.of(sandboxId))
      .filter(({ isComplete }) => isComplete)
      .map((checkpoint) => ({
        ...checkpoint,
        isHead: checkpoint.checkpointId === sandbox.checkpointId,
        names: names.get(checkpoint.checkpointId) ?? [],
      }))
  }

  /** @param toId absent: the newest @param fromId absent: what `toId` came from */
  async diff(team: Team, sandboxId: string, fromId?: string, toId?: string): Promise<SandboxDiff> {
    const nodes = await this.tree(team, sandboxId)
    const find = (id: string): TreeNode => {
      const found = nodes.find(({ checkpointId }) => checkpointId === id)
      if (found) return found
      throw new SandlotError(
        'not_found',
        `sandbox '${sandboxId}' has no checkpoint '${id.slice(0, 100)}'; its tree lists them`,
      )
    }
    const to = toId === undefined ? nodes.at(-1) : find(toId)
    // what a fork came from first is its source's
    const parent = nodes.find(({ checkpointId }) => checkpointId === to?.parentId)
    const from = fromId ?? parent?.checkpointId
    if (!to || from === undefined)
      throw new SandlotError(
        'invalid_request',
        `sandbox '${sandboxId}' has no two checkpoints to compare yet`,
      )
    const diff = await this.#life.node.diff(find(from).checkpointId, to.checkpointId)
    return { ...diff, fromId: from, toId: to.checkpointId }
  }

  /** Whether a paused sandbox would come back with its processes. */
  async hasMemory({ checkpointId }: LiveSandbox): Promise<boolean> {
    return (await this.#checkpoints.find(checkpointId!))?.hasMemory === true
  }

  /** The newest that is older than what a sandbox would be resumed from. */
  async before(sandbox: LiveSandbox): Promise<CheckpointRecord | undefined> {
    const all = (await this.#checkpoints.of(sandbox.sandboxId)).filter(({ isComplete }) => isComplete)
    return all[all.findIndex(({ checkpointId }) => checkpointId === sandbox.checkpointId) - 1]
  }

  async setKeep(team: Team, sandboxId: string, keep: KeepPolicy): Promise<void> {
    this.#life.get(team, sandboxId)
    await this.#life.exclusively(sandboxId, async () => {
      const sandbox = this.#life.get(team, sandboxId)
      sandbox.settings.keep = keep
      await this.#life.repository.setSettings(sandbox)
      this.prune(sandbox)
    })
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

  /** Nobody waits for it. Snapshots are not the sandbox's to delete. */
  prune(sandbox: LiveSandbox): void {
    const { last, maxAgeSeconds = Number.POSITIVE_INFINITY } = sandbox.settings.keep ?? DEFAULT_KEEP
    this.#life.inBackground('deleting old checkpoints', async () => {
      const older = (await this.#checkpoints.of(sandbox.sandboxId))
        .filter(({ isComplete, checkpointId }) => isComplete && checkpointId !== sandbox.checkpointId)
        .filter(({ checkpointId }) => !this.#life.catalogue.isSnapshot(checkpointId))
        .reverse()
      const oldestMs = this.#life.now() - maxAgeSeconds * 1000
      for (const [index, { checkpointId, createdAtMs }] of older.entries())
        if (index >= last || createdAtMs < oldestMs) await this.#removeCheckpoint(checkpointId)
    })
  }

  /** A killed sandbox takes its past with it, but for snapshots. */
  async forget(sandboxId: string): Promise<void> {
    for (const { checkpointId } of await this.#checkpoints.of(sandboxId))
      if (!this.#life.catalogue.isSnapshot(checkpointId)) await this.#removeCheckpoint(checkpointId)
  }

  /** A snapshot or a template of a team. @throws SandlotError invalid_request while sandboxes use it */
  async deleteTemplate(template: Template): Promise<void> {
    const { catalogue, node, registry } = this.#life
    const users = [...registry.all()].filter(({ templateId }) => templateId === template.templateId)
    if (users.length > 0)
      throw new SandlotError(
        'invalid_request',
        `template '${template.templateId}' is used by ${users.length} sandboxes (${users[0]!.sandboxId} among them): kill them first`,
      )
    const builds = template.builds.filter((build): build is BuildRecord => 'checkpointId' in build)
    await catalogue.remove(template)
    for (const { buildId } of template.builds) node.removeBuild(buildId)
    // a source that is alive may still be saved as it, a fork of it only came from it
    for (const { sandboxId, checkpointId } of builds)
      if (registry.get(sandboxId)?.checkpointId !== checkpointId) await this.#removeCheckpoint(checkpointId)
  }

  async usage({ teamId, plan }: Team) {
    const ids = await this.#checkpoints.idsOf(teamId)
    const [{ count, sizeBytes }, { storedBytes, sharedBytes }] = await Promise.all([
      this.#checkpoints.usage(teamId),
      this.#life.node.storageOf(ids),
    ])
    const limitBytes = plan.storageMB === null ? null : plan.storageMB * 2 ** 20
    return { checkpoints: count, sizeBytes, storedBytes, sharedBytes, limitBytes }
  }

  collectGarbage(isDryRun: boolean): Promise<GarbageReport> {
    return this.#life.node.collectGarbage(isDryRun)
  }

  /**
   * For what a team asks to keep. A pause is never refused for it: a sandbox must not be lost to a quota.
   * @throws SandlotError rate_limited
   */
  async #checkQuota({ teamId, name, plan }: Team): Promise<void> {
    if (plan.storageMB === null) return
    const { sizeBytes } = await this.#checkpoints.usage(teamId)
    if (sizeBytes < plan.storageMB * 2 ** 20) return
    throw new SandlotError(
      'rate_limited',
      `team '${name}' keeps ${Math.round(sizeBytes / 2 ** 20)} MB of checkpoints, its plan allows ${plan.storageMB}: delete snapshots or kill paused sandboxes`,
    )
  }

  /** Files first: a row without files is found by the next start, files without a row too. */
  async #removeCheckpoint(checkpointId: string): Promise<void> {
    await this.#life.eventually(`deleting checkpoint ${checkpointId}`, async () => {
      await this.#life.node.removeCheckpoint(checkpointId)
      await this.#checkpoints.remove(checkpointId)
    })
  }

  #running(team: Team, sandboxId: string): LiveSandbox {
    const sandbox = this.#life.get(team, sandboxId)
    if (sandbox.state !== 'running')
      throw new SandlotError('conflict', `Sandbox "${sandboxId}" is paused: resume it first`)
    return sandbox
  }

  newCheckpoint(sandbox: LiveSandbox, why: CheckpointReason, hasMemory: boolean): NewCheckpoint {
    return {
      checkpointId: newCheckpointId(),
      teamId: sandbox.teamId,
      sandboxId: sandbox.sandboxId,
      parentId: sandbox.checkpointId,
      why,
      hasMemory,
      createdAtMs: this.#life.now(),
    }
  }
}

/** As clients write it: `<id>:<tag>`, or `<team>/<name>:<tag>` when it has a name. */
export const toSnapshot = (templateId: string, name: string | null, tag: string, slug: string): Snapshot =>
  name === null
    ? { snapshotId: `${templateId}:${tag}`, names: [] }
    : { snapshotId: `${slug}/${name}:${tag}`, names: [`${slug}/${name}`] }
