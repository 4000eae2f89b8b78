import { randomUUID } from 'node:crypto'
import type { SnapshotBuild } from '@sandlot/protocol/node'
import { setDeleting } from '../checkpoints/repository.ts'
import type { Store } from '../store/open-store.ts'
import type { BuildsTable, TemplatesTable } from '../store/schema.ts'
import { inTransaction } from '../store/transactions.ts'

/** Number of assignments that are kept for each tag. */
const MAX_ASSIGNMENTS = 100

export interface TemplateRecord {
  templateId: string
  teamId: string | null
  name: string | null
  isPublic: boolean
  createdAtMs: number
  updatedAtMs: number
}

/** `waiting`: announced, not started. `building`: queued or running. */
export type BuildStatus = 'waiting' | 'building' | 'ready' | 'error'

export interface BuildReason {
  message: string
  /** `base`, `finalize` or the number of the step from 1. */
  step?: string
}

/** A build of a team: a snapshot, or a build by steps. */
export interface BuildRecord extends SnapshotBuild {
  templateId: string
  createdAtMs: number
  updatedAtMs: number
  finishedAtMs?: number
  status: BuildStatus
  /** Why the build failed. */
  reason?: BuildReason
  /** Tags that the build gets when it is ready. */
  tags: string[]
  /** Variables that the steps have set, for the start command and for steps of templates that start from this build. */
  envVars: Record<string, string>
  /** Variables that commands of sandboxes get, beside those of the create (docs/adr/0030). */
  runtimeEnvVars: Record<string, string>
}

export interface Spawns {
  count: number
  lastAtMs: number | null
}

export interface TagRecord {
  templateId: string
  tag: string
  buildId: string
  createdAtMs: number
}

export class TemplateRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Finds or inserts the row of a built-in template, so that the template keeps the id. */
  async ensureBuiltIn(templateId: string, name: string, nowMs: number): Promise<TemplateRecord> {
    const find = () =>
      this.#store
        .selectFrom('templates')
        .selectAll()
        .where('team_id', 'is', null)
        .where('name', '=', name)
        .executeTakeFirst()
    const known = await find()
    if (known) return toTemplate(known)
    await this.insert({
      templateId,
      teamId: null,
      name,
      isPublic: true,
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
    })
    return toTemplate((await find())!)
  }

  async insert({ templateId, teamId, name, isPublic, createdAtMs, updatedAtMs }: TemplateRecord) {
    await this.#store
      .insertInto('templates')
      .values({
        id: templateId,
        team_id: teamId,
        name,
        is_public: Number(isPublic),
        created_at: createdAtMs,
        updated_at: updatedAtMs,
        spawn_count: 0,
        last_spawned_at: null,
      })
      .execute()
  }

  /** Inserts a build, and its tags if the build is ready. @param isNew also inserts the template */
  async addBuild(template: TemplateRecord, isNew: boolean, build: BuildRecord): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      const inside = new TemplateRepository(transaction)
      if (isNew) await inside.insert(template)
      else await inside.#touch(build)
      await transaction.insertInto('builds').values(toRow(build)).execute()
      if (build.status === 'ready') await inside.#setTags(build, build.tags, build.createdAtMs)
    })
  }

  async hasBuild(buildId: string): Promise<boolean> {
    const row = await this.#store
      .selectFrom('builds')
      .select('id')
      .where('id', '=', buildId)
      .executeTakeFirst()
    return row !== undefined
  }

  /** Updates the row of a build; a build that became ready gets its tags. */
  async updateBuild(build: BuildRecord): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      const inside = new TemplateRepository(transaction)
      const { id, template_id: _, ...row } = toRow(build)
      await transaction.updateTable('builds').set(row).where('id', '=', id).execute()
      await inside.#touch(build)
      if (build.status === 'ready') await inside.#setTags(build, build.tags, build.updatedAtMs)
    })
  }

  async #touch({ templateId, updatedAtMs }: BuildRecord): Promise<void> {
    await this.#store
      .updateTable('templates')
      .set({ updated_at: updatedAtMs })
      .where('id', '=', templateId)
      .execute()
  }

  /** Assigns tags to a build; other builds of the template lose them. */
  async setTags(
    build: Pick<BuildRecord, 'templateId' | 'buildId'>,
    tags: readonly string[],
    nowMs: number,
  ): Promise<void> {
    await inTransaction(this.#store, (transaction) =>
      new TemplateRepository(transaction).#setTags(build, tags, nowMs),
    )
  }

  async #setTags(
    { templateId, buildId }: Pick<BuildRecord, 'templateId' | 'buildId'>,
    tags: readonly string[],
    nowMs: number,
  ): Promise<void> {
    const row = { template_id: templateId, build_id: buildId }
    const distinct = [...new Set(tags)]
    if (distinct.length === 0) return
    await this.#store
      .insertInto('template_tags')
      .values(distinct.map((tag) => ({ ...row, tag, created_at: nowMs })))
      .onConflict((conflict) =>
        conflict.columns(['template_id', 'tag']).doUpdateSet({ build_id: buildId, created_at: nowMs }),
      )
      .execute()
    await this.#store
      .insertInto('tag_assignments')
      .values(distinct.map((tag) => ({ ...row, tag, id: randomUUID(), assigned_at: nowMs })))
      .execute()
    for (const tag of distinct) await this.#dropOldAssignments(templateId, tag)
  }

  async #dropOldAssignments(templateId: string, tag: string): Promise<void> {
    const oldestKept = this.#store
      .selectFrom('tag_assignments')
      .select('assigned_at')
      .where('template_id', '=', templateId)
      .where('tag', '=', tag)
      .orderBy('assigned_at', 'desc')
      .limit(1)
      .offset(MAX_ASSIGNMENTS - 1)
    await this.#store
      .deleteFrom('tag_assignments')
      .where('template_id', '=', templateId)
      .where('tag', '=', tag)
      .where('assigned_at', '<', oldestKept)
      .execute()
  }

  async removeTags(templateId: string, tags: readonly string[]): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      for (const table of ['template_tags', 'tag_assignments'] as const)
        await transaction
          .deleteFrom(table)
          .where('template_id', '=', templateId)
          .where('tag', 'in', tags)
          .execute()
    })
  }

  async setPublic(templateId: string, isPublic: boolean, nowMs: number): Promise<void> {
    await this.#store
      .updateTable('templates')
      .set({ is_public: Number(isPublic), updated_at: nowMs })
      .where('id', '=', templateId)
      .execute()
  }

  /** Deletes a build, with its log. */
  async removeBuild(buildId: string): Promise<void> {
    await this.#store.deleteFrom('builds').where('id', '=', buildId).execute()
  }

  /** Deletes a template, with builds and tags. @param checkpointIds marked as being deleted in the same transaction */
  async remove(templateId: string, checkpointIds: readonly string[]): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await setDeleting(transaction, checkpointIds)
      await transaction.deleteFrom('templates').where('id', '=', templateId).execute()
    })
  }

  async templates(): Promise<TemplateRecord[]> {
    return (await this.#store.selectFrom('templates').selectAll().execute()).map(toTemplate)
  }

  /** Lists the teams that have templates. */
  async owners(): Promise<Array<{ teamId: string; slug: string }>> {
    return this.#store
      .selectFrom('templates')
      .innerJoin('teams', 'teams.id', 'templates.team_id')
      .select(['teams.id as teamId', 'teams.slug'])
      .distinct()
      .execute()
  }

  async builds(): Promise<BuildRecord[]> {
    const rows = await this.#store.selectFrom('builds').selectAll().orderBy('created_at').execute()
    return rows.map(toBuild)
  }

  async tags(templateId?: string): Promise<TagRecord[]> {
    const all = this.#store.selectFrom('template_tags').selectAll().orderBy('created_at')
    const rows = await (templateId === undefined ? all : all.where('template_id', '=', templateId)).execute()
    return rows.map((row) => ({
      templateId: row.template_id,
      tag: row.tag,
      buildId: row.build_id,
      createdAtMs: row.created_at,
    }))
  }

  /** Reads how often sandboxes were started from each of these templates, and when last. */
  async spawns(templateIds: readonly string[]): Promise<Map<string, Spawns>> {
    const rows = await this.#store
      .selectFrom('templates')
      .select(['id', 'spawn_count', 'last_spawned_at'])
      .where('id', 'in', templateIds)
      .execute()
    return new Map(rows.map((row) => [row.id, { count: row.spawn_count, lastAtMs: row.last_spawned_at }]))
  }
}

const toRow = (build: BuildRecord): BuildsTable => ({
  id: build.buildId,
  template_id: build.templateId,
  checkpoint_id: build.checkpointId,
  sandbox_id: build.sandboxId ?? '',
  status: build.status,
  reason: build.reason ? JSON.stringify(build.reason) : null,
  created_at: build.createdAtMs,
  updated_at: build.updatedAtMs,
  finished_at: build.finishedAtMs ?? null,
  tags: JSON.stringify(build.tags),
  env_vars: JSON.stringify(build.envVars),
  runtime_env_vars: JSON.stringify(build.runtimeEnvVars),
  cpu_count: build.cpuCount,
  memory_mb: build.memoryMB,
  disk_size_mb: build.diskSizeMB,
  default_user: build.defaultUser,
  default_workdir: build.defaultWorkdir ?? null,
})

const toBuild = (row: BuildsTable): BuildRecord => ({
  buildId: row.id,
  name: row.template_id,
  templateId: row.template_id,
  checkpointId: row.checkpoint_id,
  sandboxId: row.sandbox_id || undefined,
  status: row.status as BuildStatus,
  reason: row.reason ? (JSON.parse(row.reason) as BuildReason) : undefined,
  createdAtMs: row.created_at,
  updatedAtMs: row.updated_at,
  finishedAtMs: row.finished_at ?? undefined,
  tags: JSON.parse(row.tags) as string[],
  envVars: JSON.parse(row.env_vars) as Record<string, string>,
  runtimeEnvVars: JSON.parse(row.runtime_env_vars) as Record<string, string>,
  cpuCount: row.cpu_count,
  memoryMB: row.memory_mb,
  diskSizeMB: row.disk_size_mb,
  defaultUser: row.default_user,
  defaultWorkdir: row.default_workdir ?? undefined,
})

const toTemplate = (row: TemplatesTable): TemplateRecord => ({
  templateId: row.id,
  teamId: row.team_id,
  name: row.name,
  isPublic: row.is_public === 1,
  createdAtMs: row.created_at,
  updatedAtMs: row.updated_at,
})
