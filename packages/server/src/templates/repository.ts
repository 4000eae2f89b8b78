import type { SnapshotBuild } from '@sandlot/node'
import type { Store } from '../store/store.ts'

export interface TemplateRecord {
  templateId: string
  teamId: string | null
  name: string | null
  isPublic: boolean
  createdAtMs: number
  updatedAtMs: number
}

/** A build of a team: today a snapshot. */
export interface BuildRecord extends SnapshotBuild {
  templateId: string
  sandboxId: string
  createdAtMs: number
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

  /** A template of the catalogue, under an id that stays. */
  async ensureCommon(templateId: string, name: string, nowMs: number): Promise<TemplateRecord> {
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

  /** Records a build and gives it the tag; the template is made when it is new. */
  async addBuild(template: TemplateRecord, isNew: boolean, build: BuildRecord, tag: string): Promise<void> {
    await this.#store.transaction().execute(async (transaction) => {
      if (isNew) await new TemplateRepository(transaction).insert(template)
      else
        await transaction
          .updateTable('templates')
          .set({ updated_at: build.createdAtMs })
          .where('id', '=', template.templateId)
          .execute()
      await transaction
        .insertInto('builds')
        .values({
          id: build.buildId,
          template_id: build.templateId,
          checkpoint_id: build.checkpointId,
          sandbox_id: build.sandboxId,
          created_at: build.createdAtMs,
          cpu_count: build.cpuCount,
          memory_mb: build.memoryMB,
          disk_size_mb: build.diskSizeMB,
          default_user: build.defaultUser,
          default_workdir: build.defaultWorkdir ?? null,
        })
        .execute()
      await transaction
        .insertInto('template_tags')
        .values({
          template_id: template.templateId,
          tag,
          build_id: build.buildId,
          created_at: build.createdAtMs,
        })
        .onConflict((conflict) =>
          conflict
            .columns(['template_id', 'tag'])
            .doUpdateSet({ build_id: build.buildId, created_at: build.createdAtMs }),
        )
        .execute()
    })
  }

  /** Its builds and tags go with it. */
  async remove(templateId: string): Promise<void> {
    await this.#store.deleteFrom('templates').where('id', '=', templateId).execute()
  }

  async templates(): Promise<TemplateRecord[]> {
    return (await this.#store.selectFrom('templates').selectAll().execute()).map(toTemplate)
  }

  async builds(): Promise<BuildRecord[]> {
    const rows = await this.#store.selectFrom('builds').selectAll().execute()
    return rows.map((row) => ({
      buildId: row.id,
      name: row.template_id,
      templateId: row.template_id,
      checkpointId: row.checkpoint_id,
      sandboxId: row.sandbox_id,
      createdAtMs: row.created_at,
      cpuCount: row.cpu_count,
      memoryMB: row.memory_mb,
      diskSizeMB: row.disk_size_mb,
      defaultUser: row.default_user,
      defaultWorkdir: row.default_workdir ?? undefined,
    }))
  }

  async tags(): Promise<TagRecord[]> {
    const rows = await this.#store.selectFrom('template_tags').selectAll().execute()
    return rows.map((row) => ({
      templateId: row.template_id,
      tag: row.tag,
      buildId: row.build_id,
      createdAtMs: row.created_at,
    }))
  }

  /** How often sandboxes were started from each template, and when last. */
  async spawns(): Promise<Map<string, { count: number; lastAtMs: number | null }>> {
    const rows = await this.#store
      .selectFrom('templates')
      .select(['id', 'spawn_count', 'last_spawned_at'])
      .execute()
    return new Map(rows.map((row) => [row.id, { count: row.spawn_count, lastAtMs: row.last_spawned_at }]))
  }
}

const toTemplate = (row: {
  id: string
  team_id: string | null
  name: string | null
  is_public: number
  created_at: number
  updated_at: number
}): TemplateRecord => ({
  templateId: row.id,
  teamId: row.team_id,
  name: row.name,
  isPublic: row.is_public === 1,
  createdAtMs: row.created_at,
  updatedAtMs: row.updated_at,
})
