import { openStore } from '../store/open-store.ts'
import { CATALOG_TEAM_ID } from '../teams/repository.ts'

export interface ListedTemplate {
  templateId: string
  /** Checkpoint of the newest build; absent: `base`. */
  checkpointId?: string
  /** null: a snapshot without a name. */
  name: string | null
  /** Slug of the team; null: a built-in template of all teams. */
  team: string | null
  /** Status of the newest build; always `ready` for `base`, which the node builds at each start. */
  status: string
  /** Why the newest build failed. */
  reason?: string
  /** Bytes of the newest checkpoint, unpacked; 0 without one. */
  sizeBytes: number
  /** Number of sandboxes that were ever started from the template. */
  spawnCount: number
  updatedAtMs: number
}

/** Lists all templates of a home, newest last. Reads the database, so no server needs to run. */
export async function listTemplates(storeUrl: string): Promise<ListedTemplate[]> {
  const store = await openStore(storeUrl)
  try {
    const rows = await store
      .selectFrom('templates')
      .leftJoin('teams', 'teams.id', 'templates.team_id')
      .leftJoin('builds', (join) =>
        join.on('builds.id', '=', (eb) =>
          eb
            .selectFrom('builds as newest')
            .select('newest.id')
            .whereRef('newest.template_id', '=', 'templates.id')
            .orderBy('newest.created_at', 'desc')
            .limit(1),
        ),
      )
      .leftJoin('checkpoints', 'checkpoints.id', 'builds.checkpoint_id')
      .select([
        'templates.id',
        'templates.name',
        'templates.team_id',
        'templates.spawn_count',
        'templates.updated_at',
        'teams.slug',
        'builds.status',
        'builds.reason',
        'builds.checkpoint_id',
        'checkpoints.size_bytes',
      ])
      .orderBy('templates.updated_at')
      .execute()
    return rows.map((row) => ({
      templateId: row.id,
      checkpointId: row.checkpoint_id ?? undefined,
      name: row.name,
      team: row.team_id === CATALOG_TEAM_ID ? null : row.slug,
      status: row.status ?? 'ready',
      reason: row.reason ? (JSON.parse(row.reason) as { message: string }).message : undefined,
      sizeBytes: row.size_bytes ?? 0,
      spawnCount: row.spawn_count,
      updatedAtMs: row.updated_at,
    }))
  } finally {
    await store.destroy()
  }
}
