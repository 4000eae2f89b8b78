import { ENVD_VERSION } from '@sandlot/protocol'
import type { BuildInfo } from '@sandlot/protocol/node'
import type { Template as TemplateAnswer, TemplateBuild } from '@sandlot/protocol/rest'
import { CATALOG_TEAM_ID, DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import { DEFAULT_TAG } from './reference.ts'
import { isDefault, isRecord, type Template } from './registry.ts'
import type { BuildRecord, Spawns } from './repository.ts'

type AnyBuild = BuildInfo | BuildRecord

const iso = (ms: number): string => new Date(ms).toISOString()
const statusOf = (build: AnyBuild) => (isRecord(build) ? build.status : 'ready')

/** Returns the build that a create would start from, else the newest build. */
function shownBuild({ tags, builds }: Template): AnyBuild | undefined {
  return tags.get(DEFAULT_TAG) ?? builds.findLast((build) => statusOf(build) === 'ready') ?? builds.at(-1)
}

/**
 * @param spawns how often sandboxes were started from the template; hidden from other teams than the owner of a default
 * template
 * @param description text of a default template
 */
export function toTemplate(
  template: Template,
  team: Team,
  spawns?: Spawns,
  description?: string,
): TemplateAnswer {
  const { templateId, isPublic, name, createdAtMs, updatedAtMs, builds } = template
  const build = shownBuild(template)
  const newest = builds.at(-1)
  const isOwn = template.teamId === team.teamId
  const isHidden = isDefault(template) && !isOwn
  return {
    templateID: templateId,
    buildID: build?.buildId ?? '',
    cpuCount: build?.cpuCount ?? 0,
    memoryMB: build?.memoryMB ?? 0,
    diskSizeMB: build?.diskSizeMB ?? 0,
    public: isPublic,
    aliases: name === null ? [] : [name],
    names: namesOf(template, team.slug),
    createdAt: iso(createdAtMs),
    updatedAt: iso(updatedAtMs),
    createdBy: null,
    lastSpawnedAt: spawns?.lastAtMs && !isHidden ? iso(spawns.lastAtMs) : null,
    spawnCount: isHidden ? 0 : (spawns?.count ?? 0),
    buildCount: isHidden ? 0 : builds.length,
    envdVersion: build ? ENVD_VERSION : '',
    buildStatus: newest ? statusOf(newest) : 'waiting',
    isDefault: isDefault(template),
    description: isDefault(template) ? description : undefined,
  }
}

/** Like `toTemplate`, for the list of default templates: shows a build only if a create could start from it. */
export function toDefaultTemplate(template: Template, team: Team, spawns?: Spawns, description?: string) {
  const answer = toTemplate(template, team, spawns, description)
  if (template.tags.has(DEFAULT_TAG)) return answer
  return { ...answer, buildID: '', cpuCount: 0, memoryMB: 0, diskSizeMB: 0, envdVersion: '' }
}

export const namesOf = ({ name, teamId }: Template, slug: string): string[] =>
  name === null ? [] : [`${teamId === null || teamId === CATALOG_TEAM_ID ? DEFAULT_TEAM_SLUG : slug}/${name}`]

export function toBuild(build: AnyBuild, { createdAtMs, updatedAtMs }: Template): TemplateBuild {
  const times = isRecord(build) ? build : { createdAtMs, updatedAtMs, finishedAtMs: updatedAtMs }
  return {
    buildID: build.buildId,
    status: statusOf(build),
    createdAt: iso(times.createdAtMs),
    updatedAt: iso(times.updatedAtMs),
    finishedAt: times.finishedAtMs ? iso(times.finishedAtMs) : undefined,
    cpuCount: build.cpuCount,
    memoryMB: build.memoryMB,
    diskSizeMB: build.diskSizeMB,
    envdVersion: ENVD_VERSION,
  }
}
