import { randomUUID } from 'node:crypto'
import { newTemplateId, SandlotError } from '@sandlot/protocol'
import type { BuildInfo } from '@sandlot/protocol/node'
import type { CatalogProgress } from '../catalog/progress.ts'
import { KeyedLock } from '../concurrency/keyed-lock.ts'
import { mayHaveWritten } from '../store/open-store.ts'
import { whenStoreAnswers } from '../store/transactions.ts'
import { CATALOG_TEAM_ID, DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import { nearNames } from './near-names.ts'
import { DEFAULT_TAG, parseReference } from './reference.ts'
import type { BuildRecord, TemplateRecord, TemplateRepository } from './repository.ts'

export interface Template extends TemplateRecord {
  /** Builds by tag. */
  tags: Map<string, BuildInfo>
  /** Newest last. */
  builds: Array<BuildInfo | BuildRecord>
}

/** Template and build that a create starts from. */
export interface Startable {
  template: Template
  build: BuildInfo
}

/** All templates, in memory, because every create looks one up. */
export class TemplateRegistry {
  readonly #repository: TemplateRepository
  readonly #byId = new Map<string, Template>()
  /** By `<team id or ''>/<name>`. */
  readonly #byName = new Map<string, Template>()
  /** By team id; '' for built-in templates, which belong to no team. */
  readonly #byTeam = new Map<string, Set<Template>>()
  /** Ids of the checkpoints of all builds. */
  readonly #snapshots = new Set<string>()
  readonly #progress: CatalogProgress
  /** Team ids by slug: of all teams that had templates at the start, or have looked for a template since. */
  readonly #teamIds = new Map<string, string>()
  readonly #naming = new KeyedLock()
  /** Work that finds out whether a build was recorded whose answer was lost, by template name. */
  readonly #unanswered = new Map<string, () => Promise<void>>()

  constructor(repository: TemplateRepository, progress: CatalogProgress) {
    this.#repository = repository
    this.#progress = progress
  }

  /** Reads the templates of teams; `loadBuiltIn` adds those of the node. */
  async load(): Promise<void> {
    for (const template of await this.#repository.templates())
      if (template.teamId !== null) this.#add({ ...template, tags: new Map(), builds: [] })
    for (const { slug, teamId } of await this.#repository.owners()) this.#teamIds.set(slug, teamId)
    const builds = new Map<string, BuildRecord>()
    for (const build of await this.#repository.builds()) {
      builds.set(build.buildId, build)
      this.#addBuild(build)
    }
    for (const { templateId, tag, buildId } of await this.#repository.tags())
      this.#byId.get(templateId)?.tags.set(tag, builds.get(buildId)!)
  }

  async loadBuiltIn(builds: readonly BuildInfo[]): Promise<void> {
    for (const build of builds) {
      const record = await this.#repository.ensureBuiltIn(newTemplateId(), build.name, Date.now())
      this.#add({ ...record, tags: new Map([[DEFAULT_TAG, build]]), builds: [build] })
    }
  }

  /** Lists the finished builds of teams, which the node must know to start sandboxes from them. */
  teamBuilds(): BuildRecord[] {
    return this.#records().filter(({ status }) => status === 'ready')
  }

  /** Lists the builds that are announced, queued or running. */
  unfinishedBuilds(): BuildRecord[] {
    return this.#records().filter(({ status }) => status === 'waiting' || status === 'building')
  }

  #records(): BuildRecord[] {
    return [...this.#byId.values()].flatMap(({ builds }) => builds.filter(isRecord))
  }

  /**
   * Records a build of the team's template of that name; creates the template when there is none. Of concurrent callers
   * with the same name, the first creates the template, and the last gets the tags.
   * @param name null: always creates a new template
   * @param make creates the record of the build, given the template
   * @param onAbsent called when the build was not recorded, to undo what `make` did; later than the rejection when the
   * database did not answer. A build that was recorded without an answer appears when the database answers again.
   */
  addBuild(
    team: Team,
    name: string | null,
    nowMs: number,
    make: (template: TemplateRecord) => BuildRecord | Promise<BuildRecord>,
    onAbsent: (build: BuildRecord) => Promise<void> = async () => {},
  ): Promise<{ template: Template; build: BuildRecord }> {
    const key = name === null ? randomUUID() : nameKey(team.teamId, name)
    const add = async () => {
      await this.#unanswered.get(key)?.()
      const found = name === null ? undefined : this.find(name, team)
      const known = found?.teamId === team.teamId ? found : undefined
      const template = known ?? {
        templateId: newTemplateId(),
        teamId: team.teamId,
        name,
        isPublic: team.teamId === CATALOG_TEAM_ID,
        createdAtMs: nowMs,
        updatedAtMs: nowMs,
      }
      const build = await make(template)
      await this.#repository.addBuild(template, known === undefined, build).catch(async (error) => {
        if (mayHaveWritten(error)) this.#askLater(key, template, build, onAbsent)
        else await onAbsent(build)
        throw error
      })
      this.#publish(template, build)
      return { template: this.#byId.get(template.templateId)!, build }
    }
    return name === null ? add() : this.#naming.run(key, add)
  }

  #publish(template: TemplateRecord, build: BuildRecord): void {
    if (!this.#byId.has(template.templateId)) this.#add({ ...template, tags: new Map(), builds: [] })
    this.#addBuild(build)
    if (build.status === 'ready') this.#tag(build, build.tags)
  }

  /** Finds out whether a build was recorded, once the database answers or before the next build of that name is added. */
  #askLater(
    key: string,
    template: TemplateRecord,
    build: BuildRecord,
    onAbsent: (build: BuildRecord) => Promise<void>,
  ): void {
    // no old checkpoint is deleted that may be a snapshot
    this.#snapshots.add(build.checkpointId)
    const ask = async () => {
      const isRecorded = await this.#repository.hasBuild(build.buildId)
      if (this.#unanswered.get(key) !== ask) return
      this.#unanswered.delete(key)
      if (isRecorded) return this.#publish(template, build)
      this.#snapshots.delete(build.checkpointId)
      await onAbsent(build)
    }
    this.#unanswered.set(key, ask)
    // after a longer outage the next build of that name asks, or the next start
    whenStoreAnswers(ask).catch(() => {})
  }

  /** @param build a record that this registry returned; changed after the row is written */
  async updateBuild(build: BuildRecord, changes: Partial<BuildRecord>): Promise<void> {
    const changed = { ...build, ...changes }
    await this.#repository.updateBuild(changed)
    Object.assign(build, changes)
    const template = this.#byId.get(build.templateId)
    if (template) template.updatedAtMs = build.updatedAtMs
    if (build.status === 'ready') this.#tag(build, build.tags)
  }

  async setTags(build: BuildRecord, tags: readonly string[], nowMs: number): Promise<void> {
    await this.#repository.setTags(build, tags, nowMs)
    this.#tag(build, tags)
  }

  /**
   * Counts tags for `TeamLimits.checkTags`.
   * @param template undefined: a new template
   */
  countTags({ teamId }: Team, template: Template | undefined, wanted: readonly string[]) {
    const known = template?.tags ?? new Map<string, BuildInfo>()
    let ofTeam = 0
    for (const { tags } of this.#ofTeam(teamId)) ofTeam += tags.size
    const added = new Set(wanted.filter((tag) => !known.has(tag))).size
    return { ofTemplate: known.size, ofTeam, added }
  }

  async removeTags(template: Template, tags: readonly string[]): Promise<void> {
    await this.#repository.removeTags(template.templateId, tags)
    for (const tag of tags) template.tags.delete(tag)
  }

  tagsOf = (template: Template) => this.#repository.tags(template.templateId)

  async setPublic(template: Template, isPublic: boolean, nowMs: number): Promise<void> {
    await this.#repository.setPublic(template.templateId, isPublic, nowMs)
    template.isPublic = isPublic
    template.updatedAtMs = nowMs
  }

  #tag(build: BuildRecord, tags: readonly string[]): void {
    for (const tag of tags) this.#byId.get(build.templateId)?.tags.set(tag, build)
  }

  async removeBuild(build: BuildRecord): Promise<void> {
    await this.#repository.removeBuild(build.buildId)
    const template = this.#byId.get(build.templateId)
    if (template) template.builds = template.builds.filter((other) => other !== build)
    this.#snapshots.delete(build.checkpointId)
  }

  /** @param checkpointIds of builds of the template, marked as being deleted in the same transaction */
  async remove(template: Template, checkpointIds: readonly string[]): Promise<void> {
    await this.#repository.remove(template.templateId, checkpointIds)
    this.#byId.delete(template.templateId)
    this.#ofTeam(template.teamId).delete(template)
    if (template.name !== null) this.#byName.delete(nameKey(template.teamId, template.name))
    for (const build of template.builds)
      if ('checkpointId' in build) this.#snapshots.delete(build.checkpointId)
  }

  /** Counts the builds and snapshots of a team. */
  countOf({ teamId }: Team): number {
    let count = 0
    for (const { builds } of this.#ofTeam(teamId)) count += builds.length
    return count
  }

  buildsOf = (templateId: string): BuildRecord[] =>
    (this.#byId.get(templateId)?.builds ?? []).filter(isRecord)

  spawns = (templates: readonly Template[]) =>
    this.#repository.spawns(templates.map(({ templateId }) => templateId))

  /** Lists the templates that a team may start from: its own, built-in ones, and those of the catalog that are ready. */
  visibleTo(team: Team): Template[] {
    const own = team.teamId === CATALOG_TEAM_ID ? [] : this.#ofTeam(team.teamId)
    const isVisible = ({ teamId, tags }: Template) =>
      teamId === null || teamId === team.teamId || tags.has(DEFAULT_TAG)
    return [...this.defaults().filter(isVisible), ...own]
  }

  /** Lists the templates that come with this server, ready or not. */
  defaults(): Template[] {
    return [...this.#ofTeam(null), ...this.#ofTeam(CATALOG_TEAM_ID)]
  }

  #ofTeam(teamId: string | null): Set<Template> {
    return this.#byTeam.get(teamId ?? '') ?? new Set()
  }

  /** Tells whether a checkpoint belongs to a snapshot or build, which outlives the sandbox. */
  isSnapshot(checkpointId: string): boolean {
    return this.#snapshots.has(checkpointId)
  }

  /** Finds a template by id, name or namespace/name. */
  find(key: string, team: Team): Template | undefined {
    const { namespace, name } = parseReference(key)
    this.#teamIds.set(team.slug, team.teamId)
    const byId = namespace === undefined ? this.#byId.get(name) : undefined
    if (byId) return byId
    const own = this.#byName.get(nameKey(team.teamId, name))
    const shared = this.#byName.get(nameKey(null, name)) ?? this.#byName.get(nameKey(CATALOG_TEAM_ID, name))
    if (namespace === undefined) return own ?? shared
    const owner = this.#teamIds.get(namespace)
    const named = owner === undefined ? undefined : this.#byName.get(nameKey(owner, name))
    const isKnowable = named?.teamId === team.teamId || named?.isPublic
    return (isKnowable ? named : undefined) ?? (namespace === DEFAULT_TEAM_SLUG ? shared : undefined)
  }

  /**
   * Finds the build that a create starts from.
   * @param reference id, name or namespace/name, with `:tag` or `:<build id>`; a build id finds the build without its tags
   * @throws SandlotError not_found, forbidden, conflict: a template of the catalog that is not built yet
   */
  resolve(reference: string, team: Team): Startable {
    const { name, tag = DEFAULT_TAG } = parseReference(reference)
    const isBuilt = this.find(reference.split(':')[0]!, team)?.tags.has(tag)
    if (!isBuilt && tag === DEFAULT_TAG) this.#checkProgress(name)
    const template = this.see(reference, team)
    const named = template.builds.find(({ buildId }) => buildId === tag)
    const build = named && isReady(named) ? named : template.tags.get(tag)
    if (build) return { template, build }
    const key = reference.split(':')[0]!.slice(0, 200)
    const state = template.teamId === team.teamId ? stateOf(named, template.builds.at(-1)) : ''
    throw new SandlotError(
      'not_found',
      `tag '${tag.slice(0, 200)}' does not exist for template '${key}'${state}`,
    )
  }

  /**
   * Finds a template that a team may use, whether built or not; ignores a tag. @throws SandlotError not_found, forbidden
   */
  see(reference: string, team: Team): Template {
    const key = reference.split(':')[0]!
    const template = this.find(key, team)
    if (!template) throw this.#unknown(reference, key, team)
    if (template.teamId !== null && template.teamId !== team.teamId && !template.isPublic)
      throw new SandlotError('forbidden', `template '${reference.slice(0, 200)}' belongs to another team`)
    return template
  }

  /** Finds a template that a team may change. @throws SandlotError not_found, forbidden */
  own(reference: string, team: Team): Template {
    const template = this.see(reference, team)
    if (template.teamId !== team.teamId)
      throw new SandlotError(
        'forbidden',
        `template '${reference.slice(0, 200)}' is not this team's to change`,
      )
    return template
  }

  /** Like `own`, but answers not_found for templates of other teams, too. @throws SandlotError not_found */
  ownOrUnknown(reference: string, team: Team): Template {
    const template = this.find(reference, team)
    if (template?.teamId === team.teamId) return template
    throw new SandlotError('not_found', `template '${reference.slice(0, 200)}' not found`)
  }

  /** @throws SandlotError conflict: a template of the catalog that is not built yet */
  #checkProgress(name: string): void {
    const reason = this.#progress.describe(name)
    if (reason) throw new SandlotError('conflict', reason)
  }

  #unknown(reference: string, key: string, team: Team): SandlotError {
    const names = this.visibleTo(team).flatMap(({ name }) => name ?? [])
    const near = nearNames(key, names)
    const hint =
      near.length > 0 ? `; did you mean '${near.join("' or '")}'?` : `; there is '${names.join("', '")}'`
    return new SandlotError('not_found', `template '${reference.slice(0, 200)}' not found${hint}`)
  }

  #add(template: Template): void {
    this.#byId.set(template.templateId, template)
    const key = template.teamId ?? ''
    this.#byTeam.set(key, (this.#byTeam.get(key) ?? new Set()).add(template))
    if (template.name !== null) this.#byName.set(nameKey(template.teamId, template.name), template)
  }

  #addBuild(build: BuildRecord): void {
    const template = this.#byId.get(build.templateId)
    if (!template) return
    template.builds.push(build)
    this.#snapshots.add(build.checkpointId)
  }
}

/** Whether a template comes with this server: the base, or one of the catalog. */
export const isDefault = ({ teamId }: Template): boolean => teamId === null || teamId === CATALOG_TEAM_ID

export const isRecord = (build: BuildInfo | BuildRecord): build is BuildRecord => 'checkpointId' in build

const isReady = (build: BuildInfo | BuildRecord): boolean => !isRecord(build) || build.status === 'ready'

/** Explains why no build can be started yet. @param named build that the reference names by id, if any */
function stateOf(
  named: BuildInfo | BuildRecord | undefined,
  newest: BuildInfo | BuildRecord | undefined,
): string {
  const build = named ?? newest
  if (!build || !isRecord(build) || build.status === 'ready') return ''
  if (!named) return `; its newest build is ${build.status}`
  return build.status === 'error'
    ? `; the build of that id failed: ${build.reason?.message.slice(0, 500)}`
    : `; the build of that id is ${build.status}, try again when it is ready`
}

/** Returns the environment that a build gives the commands of its sandboxes. */
export const runtimeEnvVarsOf = (build: BuildInfo | BuildRecord): Record<string, string> =>
  isRecord(build) ? build.runtimeEnvVars : {}

const nameKey = (teamId: string | null, name: string): string => `${teamId ?? ''}/${name}`
