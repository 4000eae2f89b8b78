import { randomUUID } from 'node:crypto'
import type { Store } from '../store/open-store.ts'
import { TEAM_LIMITS } from './limits.ts'
import type { Team } from './team.ts'

/** Team that every server starts with; its plan sets no limits, so those of `limits.ts` apply. */
export const DEFAULT_TEAM_SLUG = 'default'

/**
 * Team that owns the catalog; the id is equal in all instances. All teams may start from this team's templates, and no
 * user signs in to it.
 */
export const CATALOG_TEAM_ID = 'ca7a1090-0000-4000-8000-000000000000'
const CATALOG_TEAM_SLUG = 'sandlot'

export async function findTeamBySlug(store: Store, slug: string): Promise<Team | undefined> {
  return teamQuery(store)
    .where('teams.slug', '=', slug)
    .executeTakeFirst()
    .then((row) => row && toTeam(row))
}

export async function findTeam(store: Store, teamId: string): Promise<Team | undefined> {
  const row = await teamQuery(store).where('teams.id', '=', teamId).executeTakeFirst()
  return row && toTeam(row)
}

export const ensureDefaultTeam = (store: Store): Promise<Team> =>
  ensureTeam(store, randomUUID(), DEFAULT_TEAM_SLUG)

export const ensureCatalogTeam = (store: Store): Promise<Team> =>
  ensureTeam(store, CATALOG_TEAM_ID, CATALOG_TEAM_SLUG)

async function ensureTeam(store: Store, id: string, slug: string): Promise<Team> {
  await store
    .insertInto('teams')
    .values({ id, name: slug, slug, plan: 'unlimited', created_at: Date.now() })
    .onConflict((conflict) => conflict.column('slug').doNothing())
    .execute()
  return (await findTeamBySlug(store, slug))!
}

export interface TeamRow {
  team_id: string
  team_name: string
  slug: string
  concurrent_sandboxes: number | null
  creates_per_second: number | null
  max_length_hours: number | null
  requests_per_second: number | null
  storage_mb: number | null
  cpu_count: number | null
  memory_mb: number | null
  disk_size_mb: number | null
  unfinished_builds: number | null
  uploads: number | null
  upload_mb: number | null
  volume_mb: number | null
  diffs: number | null
}

export const teamColumns = [
  'teams.id as team_id',
  'teams.name as team_name',
  'teams.slug',
  'plans.concurrent_sandboxes',
  'plans.creates_per_second',
  'plans.max_length_hours',
  'plans.requests_per_second',
  'plans.storage_mb',
  'plans.cpu_count',
  'plans.memory_mb',
  'plans.disk_size_mb',
  'plans.unfinished_builds',
  'plans.uploads',
  'plans.upload_mb',
  'plans.volume_mb',
  'plans.diffs',
] as const

const teamQuery = (store: Store) =>
  store.selectFrom('teams').innerJoin('plans', 'plans.name', 'teams.plan').select(teamColumns)

export const toTeam = (row: TeamRow): Team => ({
  teamId: row.team_id,
  name: row.team_name,
  slug: row.slug,
  plan: {
    concurrentSandboxes: row.concurrent_sandboxes,
    createsPerSecond: row.creates_per_second,
    maxLengthHours: row.max_length_hours,
    requestsPerSecond: row.requests_per_second,
    storageMB: row.storage_mb,
    cpuCount: row.cpu_count,
    memoryMB: row.memory_mb,
    diskSizeMB: row.disk_size_mb,
    unfinishedBuilds: row.unfinished_builds ?? TEAM_LIMITS.unfinishedBuilds,
    uploads: row.uploads ?? TEAM_LIMITS.uploads,
    uploadMB: row.upload_mb,
    volumeMB: row.volume_mb,
    diffs: row.diffs ?? TEAM_LIMITS.diffs,
  },
})
