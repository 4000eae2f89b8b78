import { SandlotError } from '@sandlot/protocol'
import type { SandboxNode } from '@sandlot/protocol/node'
import type { TemplateBuilder } from '../builds/service.ts'
import type { CheckpointService } from '../checkpoints/service.ts'
import type { SandboxRegistry } from '../sandboxes/registry.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { checkTag, DEFAULT_TAG, parseReference } from './reference.ts'
import { isRecord, type Template, type TemplateRegistry } from './registry.ts'

export interface TemplateServiceOptions {
  templates: TemplateRegistry
  node: Pick<SandboxNode, 'planRelease' | 'releaseTemplate' | 'removeBuild'>
  sandboxes: SandboxRegistry
  checkpoints: CheckpointService
  builder: TemplateBuilder
  limits: TeamLimits
  now: () => number
}

/** Tags and deletes templates and snapshots. For finding them see `registry.ts`, for building them `builds/`. */
export class TemplateService {
  readonly #options: TemplateServiceOptions

  constructor(options: TemplateServiceOptions) {
    this.#options = options
  }

  /**
   * Gives more tags to the build that a reference names.
   * @throws SandlotError not_found, forbidden, invalid_request: not a tag, or too many
   */
  async assignTags(team: Team, target: string, wanted: readonly string[]) {
    const { templates, limits, now } = this.#options
    const tags = wanted.map(checkTag)
    templates.own(target, team)
    const { template, build } = templates.resolve(target, team)
    if (!isRecord(build))
      throw new SandlotError('forbidden', 'templates that come with this server cannot be tagged')
    limits.checkTags(templates.countTags(team, template, tags))
    await templates.setTags(build, tags, now())
    return { buildId: build.buildId, tags }
  }

  /** Removes tags of a template; their builds stay. @throws SandlotError not_found, forbidden, invalid_request */
  async removeTags(team: Team, name: string, tags: readonly string[]): Promise<void> {
    const { templates } = this.#options
    if (parseReference(name).tag !== undefined)
      throw new SandlotError(
        'invalid_request',
        `name '${name}' has a tag: write the name alone, and the tags in tags`,
      )
    if (tags.includes(DEFAULT_TAG))
      throw new SandlotError(
        'invalid_request',
        `tag '${DEFAULT_TAG}' cannot be removed: a create without a tag needs it`,
      )
    const template = templates.own(name, team)
    for (const tag of tags)
      if (!template.tags.has(tag))
        throw new SandlotError('not_found', `tag '${tag}' does not exist for template '${name}'`)
    await templates.removeTags(template, tags)
  }

  /** Lists the sandboxes that were started from a template, paused ones included. */
  usersOf({ templateId }: Template): LiveSandbox[] {
    return [...this.#options.sandboxes.all()].filter((sandbox) => sandbox.templateId === templateId)
  }

  /**
   * Deletes a template with all its builds; running builds are cancelled first.
   * @throws SandlotError invalid_request while sandboxes use the template, conflict while it is being deleted
   */
  delete(template: Template): Promise<void> {
    return this.#options.builder.discard(template, () => this.#remove(template))
  }

  /** Deletes a template, with the layers and images of its builds. @returns the freed space */
  async purge(template: Template) {
    const { node, templates } = this.#options
    const checkpointIds = templates.buildsOf(template.templateId).map(({ checkpointId }) => checkpointId)
    const plan = await node.planRelease(checkpointIds)
    await this.delete(template)
    return node.releaseTemplate(plan)
  }

  async #remove(template: Template): Promise<void> {
    const { templates, node, sandboxes, checkpoints } = this.#options
    this.#checkUnused(template)
    // a snapshot's own sandbox may be saved as that checkpoint, while a fork only started from it
    const saved = template.builds
      .filter(isRecord)
      .map(({ sandboxId, checkpointId }) => ({ checkpointId, sandbox: sandboxes.get(sandboxId ?? '') }))
    const unused = saved.filter(({ sandbox }) => !sandbox).map(({ checkpointId }) => checkpointId)
    await templates.remove(template, unused)
    for (const { buildId } of template.builds) await node.removeBuild(buildId)
    for (const { checkpointId, sandbox } of saved)
      if (sandbox) await checkpoints.removeUnlessHead(sandbox, checkpointId)
      else await checkpoints.remove(checkpointId)
  }

  #checkUnused(template: Template): void {
    const users = this.usersOf(template)
    if (users.length === 0) return
    // Ids of other teams' sandboxes, which may use public templates, are secret: they give access to the sandboxes'
    // ports.
    const own = users.find(({ teamId }) => teamId === template.teamId)
    throw new SandlotError(
      'invalid_request',
      `template '${template.templateId}' is used by ${users.length} sandboxes (${own ? `${own.sandboxId} among them` : 'of other teams'}): ${own ? 'kill them first' : 'unpublish it and wait until they have ended'}`,
    )
  }
}
