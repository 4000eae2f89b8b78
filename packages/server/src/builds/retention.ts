import type { SandboxNode } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { TEAM_LIMITS } from '../teams/limits.ts'
import { CATALOG_TEAM_ID } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import { isRecord, type TemplateRegistry } from '../templates/registry.ts'

export interface BuildRetentionOptions {
  node: SandboxNode
  templates: TemplateRegistry
  checkpoints: CheckpointRepository
  logger: Logger
}

/** Deletes old builds of a template: those that have lost all tags, and those that failed. */
export class BuildRetention {
  readonly #options: BuildRetentionOptions

  constructor(options: BuildRetentionOptions) {
    this.#options = options
  }

  /** Deletes all but the newest builds without a tag: their ids can still be used, but their checkpoints are large. */
  async dropUntagged(team: Team, templateId: string): Promise<void> {
    const { templates, checkpoints, node, logger } = this.#options
    const template = templates.find(templateId, team)
    if (!template) return
    const tagged = new Set(template.tags.values())
    const untagged = template.builds
      .filter(isRecord)
      .filter((build) => build.status === 'ready' && build.sandboxId === undefined && !tagged.has(build))
    // builds of the catalog are the largest, and only a create that resolved its build a moment ago still needs an old
    // one
    const kept = template.teamId === CATALOG_TEAM_ID ? 1 : TEAM_LIMITS.untaggedBuildsOfTemplate
    for (const build of untagged.slice(0, -kept))
      try {
        await node.removeBuild(build.buildId)
        await node.removeCheckpoint(build.checkpointId)
        await checkpoints.remove(build.checkpointId)
        await templates.removeBuild(build)
      } catch (err) {
        logger.warn({ err, buildId: build.buildId }, 'an untagged build was not deleted')
      }
  }

  /** Deletes all but the newest failed builds, which are kept for their logs. */
  async dropFailed(templateId: string): Promise<void> {
    const { templates } = this.#options
    const failed = templates.buildsOf(templateId).filter(({ status }) => status === 'error')
    for (const build of failed.slice(0, -TEAM_LIMITS.failedBuildsOfTemplate))
      await templates.removeBuild(build)
  }
}
