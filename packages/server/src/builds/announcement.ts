import { randomUUID } from 'node:crypto'
import { newCheckpointId } from '@sandlot/protocol'
import type { BuildResources, SandboxNode } from '@sandlot/protocol/node'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { checkTag, DEFAULT_TAG, parseNewReference, parseReference } from '../templates/reference.ts'
import type { Template, TemplateRegistry } from '../templates/registry.ts'
import type { BuildRecord } from '../templates/repository.ts'
import { checkResources } from './request.ts'

export interface NewBuild {
  name: string
  tags?: string[]
  cpuCount?: number
  memoryMB?: number
  minFreeDiskMb?: number
}

export interface AnnouncementOptions {
  node: SandboxNode
  templates: TemplateRegistry
  limits: TeamLimits
  now: () => number
  /** @throws SandlotError conflict while the template is being deleted: a new build would be deleted with it */
  checkNotDiscarding: (templateId: string) => void
}

/**
 * Records a build that waits to be started; creates the template when none has that name.
 * @throws SandlotError invalid_request, quota_exceeded, conflict: the template is being deleted
 */
export async function announceBuild(
  options: AnnouncementOptions,
  team: Team,
  request: NewBuild,
): Promise<{ template: Template; build: BuildRecord }> {
  const { templates, limits, now } = options
  const { name } = parseNewReference(request.name, team.slug)
  const tags = tagsOf(request)
  const resources = await resourcesOf(options.node, request)
  limits.checkBuild(team, resources)
  const unfinished = templates
    .unfinishedBuilds()
    .filter(({ templateId }) => templates.find(templateId, team)?.teamId === team.teamId)
  limits.checkBuilds(team, { all: templates.countOf(team), unfinished: unfinished.length })
  const known = templates.find(name, team)
  const own = known?.teamId === team.teamId ? known : undefined
  limits.checkTags(templates.countTags(team, own, tags))
  const nowMs = now()
  return templates.addBuild(team, name, nowMs, ({ templateId }) => {
    options.checkNotDiscarding(templateId)
    return {
      buildId: randomUUID(),
      name,
      templateId,
      checkpointId: newCheckpointId(),
      status: 'waiting',
      createdAtMs: nowMs,
      updatedAtMs: nowMs,
      tags: tags.length > 0 ? tags : [DEFAULT_TAG],
      envVars: {},
      runtimeEnvVars: {},
      defaultUser: 'user',
      ...resources,
    }
  })
}

/** The tag in the name, and the tags of the field `tags`. */
function tagsOf({ name, tags = [] }: NewBuild): string[] {
  const { tag } = parseReference(name)
  const ofName = tag === undefined ? [] : [tag]
  return [...new Set([...ofName, ...tags].map(checkTag))]
}

async function resourcesOf(
  node: SandboxNode,
  { cpuCount, memoryMB, minFreeDiskMb = 0 }: NewBuild,
): Promise<BuildResources> {
  const [base] = await node.builds()
  if (!base) throw new Error('the node has no base template')
  const resources = {
    cpuCount: cpuCount ?? base.cpuCount,
    memoryMB: memoryMB ?? base.memoryMB,
    diskSizeMB: Math.max(base.diskSizeMB, minFreeDiskMb),
  }
  checkResources(resources)
  return resources
}
