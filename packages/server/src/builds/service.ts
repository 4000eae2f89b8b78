import { randomUUID } from 'node:crypto'
import { BuildFailure, newCheckpointId, SandlotError } from '@sandlot/protocol'
import type {
  BuildOrigin,
  BuildRecipe,
  EventReceiver,
  RegistryLogin,
  SandboxNode,
} from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { within } from '../concurrency/within.ts'
import { storeError } from '../store/open-store.ts'
import type { TeamLimits } from '../teams/limits.ts'
import { CATALOG_TEAM_ID } from '../teams/repository.ts'
import type { Storage } from '../teams/storage.ts'
import type { Team } from '../teams/team.ts'
import { checkTag, parseNewReference, parseReference } from '../templates/reference.ts'
import { isRecord, runtimeEnvVarsOf, type Template, type TemplateRegistry } from '../templates/registry.ts'
import type { BuildReason, BuildRecord } from '../templates/repository.ts'
import type { Uploads } from '../uploads/service.ts'
import type { BuildLogs } from './logs.ts'
import { NodeBuilds } from './node-builds.ts'
import { type BuildPlace, BuildQueue } from './queue.ts'
import { type BuildStart, checkResources, loginOf, parseStep } from './request.ts'

/** Of one template. */
const MAX_FAILED = 20
/** Finished builds of one template that no tag is on any more. */
const MAX_SUPERSEDED = 10

export interface BuildLimits {
  /** Builds that run at a time. */
  concurrency: number
  /** A build that takes longer is ended. */
  timeoutMs: number
}

export interface TemplateBuilderOptions {
  node: SandboxNode
  nodeEvents: EventReceiver
  catalogue: TemplateRegistry
  checkpoints: CheckpointRepository
  uploads: Uploads
  logs: BuildLogs
  limits: TeamLimits
  storage: Storage
  builds: BuildLimits
  logger: Logger
  now: () => number
}

export interface NewBuild {
  name: string
  tags?: string[]
  cpuCount?: number
  memoryMB?: number
  minFreeDiskMb?: number
}

/** The rules of a build's life: announced, started, run in its turn, finished with a reason or a checkpoint. */
export class TemplateBuilder {
  readonly #options: TemplateBuilderOptions
  readonly #queue: BuildQueue
  readonly #nodeBuilds: NodeBuilds
  /** By build id; aborting ends it. */
  readonly #running = new Map<string, { abort: AbortController; done: Promise<void> }>()
  /** Templates that are being deleted, whose builds must end first. */
  readonly #discarding = new Set<string>()
  #isClosed = false

  constructor(options: TemplateBuilderOptions) {
    this.#options = options
    this.#queue = new BuildQueue(options.builds.concurrency)
    const { node, nodeEvents, logs, logger } = options
    this.#nodeBuilds = new NodeBuilds({
      node,
      events: nodeEvents,
      onLine: (buildId, line) => logs.add(buildId, line),
      recorded: (buildId) => this.#running.get(buildId)?.done,
      onError: (err) => logger.warn({ err }, 'a call for a build failed'),
    })
  }

  /** Announces a build, under a template that is made when it is new. @throws SandlotError invalid_request, rate_limited */
  async announce(team: Team, request: NewBuild): Promise<{ template: Template; build: BuildRecord }> {
    const { catalogue, limits, now } = this.#options
    const reference = parseNewReference(request.name, team.slug)
    const explicit = parseReference(request.name).tag === undefined ? [] : [reference.tag]
    const tags = [...new Set([...explicit, ...(request.tags ?? []).map(checkTag)])]
    const resources = await this.#resources(request)
    limits.checkBuild(team, resources)
    const unfinished = catalogue.unfinishedBuilds().filter(({ templateId }) => this.#isOf(templateId, team))
    limits.checkBuilds(team, { all: catalogue.countOf(team), unfinished: unfinished.length })
    const nowMs = now()
    const known = catalogue.find(reference.name, team)
    catalogue.checkTagCount(team, known?.teamId === team.teamId ? known : undefined, tags)
    return catalogue.addBuild(team, reference.name, nowMs, ({ templateId }) => {
      this.#checkNotDiscarding(templateId)
      return {
        buildId: randomUUID(),
        name: reference.name,
        templateId,
        checkpointId: newCheckpointId(),
        status: 'waiting',
        createdAtMs: nowMs,
        updatedAtMs: nowMs,
        tags: tags.length > 0 ? tags : ['default'],
        envVars: {},
        runtimeEnvVars: {},
        defaultUser: 'user',
        ...resources,
      }
    })
  }

  /** What is added to it now would go with it. @throws SandlotError conflict */
  #checkNotDiscarding(templateId: string): void {
    if (this.#discarding.has(templateId))
      throw new SandlotError('conflict', `template '${templateId}' is being deleted: try again in a moment`)
  }

  #isOf(templateId: string, team: Team): boolean {
    return this.#options.catalogue.find(templateId, team)?.teamId === team.teamId
  }

  async #resources({ cpuCount, memoryMB, minFreeDiskMb = 0 }: NewBuild) {
    const [base] = await this.#options.node.builds()
    if (!base) throw new Error('the node has no base template')
    const resources = {
      cpuCount: cpuCount ?? base.cpuCount,
      memoryMB: memoryMB ?? base.memoryMB,
      diskSizeMB: Math.max(base.diskSizeMB, minFreeDiskMb),
    }
    checkResources(resources)
    return resources
  }

  /** Resolves when its row says that it is being built. @throws SandlotError invalid_request, not_found … */
  async start(team: Team, templateId: string, buildId: string, body: BuildStart): Promise<void> {
    if (this.#isClosed)
      throw new SandlotError('server_draining', 'the server is shutting down; try again in a moment', {
        retryAfterSeconds: 5,
      })
    const { catalogue, now, limits, storage, builds } = this.#options
    const build = this.find(team, templateId, buildId)
    checkWaiting(build)
    if (Boolean(body.fromImage) === Boolean(body.fromTemplate))
      throw new SandlotError(
        'invalid_request',
        `fromImage and fromTemplate are ${body.fromImage ? 'both given' : 'both missing'}: give one of them`,
      )
    this.#checkNotDiscarding(build.templateId)
    const recipe: Omit<BuildRecipe, 'from'> = {
      scope: team.teamId,
      steps: (body.steps ?? []).map((step, index) => parseStep(step, index + 1)),
      startCommand: body.startCmd || undefined,
      readyCommand: body.readyCmd || undefined,
      isForced: body.force ?? false,
      isShared: team.teamId === CATALOG_TEAM_ID,
      cpuCount: build.cpuCount,
      memoryMB: build.memoryMB,
      diskSizeMB: build.diskSizeMB,
    }
    const login = loginOf(body.fromImageRegistry)
    limits.checkReservable(team)
    await storage.checkQuota(team)
    await this.#checkFiles(team, recipe)
    // a second start may have come meanwhile
    checkWaiting(build)
    build.status = 'building'
    await catalogue.updateBuild(build, { status: 'building', updatedAtMs: now() }).catch((error) => {
      build.status = 'waiting'
      throw error
    })
    const abort = new AbortController()
    const timer = setTimeout(
      () =>
        abort.abort(
          new SandlotError(
            'operation_timeout',
            `the build took longer than ${builds.timeoutMs / 60_000} minutes and was ended`,
          ),
        ),
      builds.timeoutMs,
    )
    const origin = () => this.#origin(team, body, login)
    const done = this.#queue
      .run(team.teamId, abort.signal, (place) =>
        this.#runReserved(team, () => this.#run(team, build, recipe, origin, place, abort.signal)),
      )
      .catch((error) => this.#fail(build, error))
      .finally(() => {
        clearTimeout(timer)
        this.#running.delete(buildId)
      })
    this.#running.set(buildId, { abort, done })
  }

  async #checkFiles(team: Team, { steps }: Pick<BuildRecipe, 'steps'>): Promise<void> {
    for (const [index, step] of steps.entries())
      if (step.type === 'COPY' && !(await this.#options.uploads.has(team.teamId, step.filesHash)))
        throw new SandlotError(
          'invalid_request',
          `step ${index + 1} (COPY): the files of '${step.source.slice(0, 200)}' were not uploaded`,
        )
  }

  /** @throws BuildFailure */
  #origin(
    team: Team,
    { fromImage, fromTemplate, templateEnvAtRuntime = false }: BuildStart,
    login: RegistryLogin | undefined,
  ): Origin {
    if (!fromTemplate) return { from: { image: fromImage!, login }, isShown: () => templateEnvAtRuntime }
    try {
      const { build } = this.#options.catalogue.resolve(fromTemplate, team)
      const { buildId, defaultUser, defaultWorkdir } = build
      const shown = runtimeEnvVarsOf(build)
      return {
        from: {
          buildId,
          name: fromTemplate,
          checkpointId: isRecord(build) ? build.checkpointId : undefined,
          environment: { defaultUser, defaultWorkdir, envVars: isRecord(build) ? build.envVars : {} },
        },
        isShown: (name) => templateEnvAtRuntime || Object.hasOwn(shown, name),
      }
    } catch (error) {
      throw new BuildFailure('base', (error as Error).message, { cause: error })
    }
  }

  /** One machine at a time runs for a build. */
  async #runReserved(team: Team, run: () => Promise<void>): Promise<void> {
    const release = this.#options.limits.reserve(team)
    try {
      await run()
    } finally {
      release()
    }
  }

  async #run(
    team: Team,
    build: BuildRecord,
    recipe: Omit<BuildRecipe, 'from'>,
    origin: () => Origin,
    place: BuildPlace,
    signal: AbortSignal,
  ): Promise<void> {
    const { node, catalogue, checkpoints, logs, now } = this.#options
    const { buildId, templateId, checkpointId } = build
    const startedMs = performance.now()
    logs.add(buildId, { level: 'info', message: `Building template ${templateId}/${buildId}` })
    const { from, isShown } = origin()
    await checkpoints.insert({
      checkpointId,
      teamId: team.teamId,
      sandboxId: '',
      parentId: undefined,
      why: 'build',
      hasMemory: true,
      createdAtMs: now(),
    })
    const job = {
      buildId,
      checkpointId,
      recipe: { ...recipe, from },
      isBackground: recipe.isShared ?? false,
    }
    const { checkpoint, environment } = await this.#nodeBuilds.run(job, place, signal)
    signal.throwIfAborted()
    await checkpoints.complete(checkpoint)
    const runtimeEnvVars = Object.fromEntries(
      Object.entries(environment.envVars).filter(([name]) => isShown(name)),
    )
    const finished = { ...environment, runtimeEnvVars }
    await node.addBuild({ ...build, ...finished })
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    logs.add(buildId, { level: 'info', message: `Build finished, took ${seconds}s` })
    await logs.close(buildId)
    const nowMs = now()
    await catalogue.updateBuild(build, {
      ...finished,
      status: 'ready',
      updatedAtMs: nowMs,
      finishedAtMs: nowMs,
    })
    await this.#dropSuperseded(team, templateId)
  }

  /**
   * A build that lost its last tag can still be started by its id, but its checkpoint is large: the newest few stay.
   */
  async #dropSuperseded(team: Team, templateId: string): Promise<void> {
    const { catalogue, checkpoints, node, logger } = this.#options
    const template = catalogue.find(templateId, team)
    if (!template) return
    const tagged = new Set(template.tags.values())
    const untagged = template.builds
      .filter(isRecord)
      .filter((build) => build.status === 'ready' && build.sandboxId === undefined && !tagged.has(build))
    // those of the catalogue are the largest, and only a create that found one just before still needs it
    const kept = template.teamId === CATALOG_TEAM_ID ? 1 : MAX_SUPERSEDED
    for (const build of untagged.slice(0, -kept))
      try {
        await node.removeBuild(build.buildId)
        await node.removeCheckpoint(build.checkpointId)
        await checkpoints.remove(build.checkpointId)
        await catalogue.removeBuild(build)
      } catch (err) {
        logger.warn({ err, buildId: build.buildId }, 'a superseded build was not removed')
      }
  }

  /** Of builds that failed the newest are kept, to look at. */
  async #dropFailed(templateId: string): Promise<void> {
    const { catalogue } = this.#options
    const failed = catalogue.buildsOf(templateId).filter(({ status }) => status === 'error')
    for (const build of failed.slice(0, -MAX_FAILED)) await catalogue.removeBuild(build)
  }

  async #fail(build: BuildRecord, error: unknown): Promise<void> {
    const { catalogue, checkpoints, node, logs, logger, now } = this.#options
    const reason = reasonOf(storeError(error))
    const { buildId, templateId } = build
    if (!(error instanceof SandlotError)) logger.warn({ err: error, buildId, templateId }, 'a build failed')
    try {
      logs.add(buildId, { level: 'error', message: reason.message, step: reason.step })
      await logs.close(buildId)
      await node.removeBuild(buildId)
      await node.removeCheckpoint(build.checkpointId)
      await checkpoints.remove(build.checkpointId)
      const nowMs = now()
      await catalogue.updateBuild(build, { status: 'error', reason, updatedAtMs: nowMs, finishedAtMs: nowMs })
      await this.#dropFailed(templateId)
    } catch (err) {
      // the next start finds the row unfinished
      Object.assign(build, { status: 'error', reason })
      logger.warn({ err, buildId }, 'the end of a build was not recorded')
    }
  }

  /** @throws SandlotError not_found, forbidden */
  find(team: Team, templateId: string, buildId: string): BuildRecord {
    const template = this.#options.catalogue.own(templateId, team)
    const build = template.builds.find((known) => known.buildId === buildId)
    if (build && isRecord(build)) return build
    throw new SandlotError(
      'not_found',
      `template '${templateId.slice(0, 100)}' has no build '${buildId.slice(0, 100)}'`,
    )
  }

  /** Ends the builds of a template; once it is removed, its archives go that no other template uses. @throws SandlotError conflict */
  async discard(template: Template, remove: () => Promise<void>): Promise<void> {
    const { templateId } = template
    this.#checkNotDiscarding(templateId)
    this.#discarding.add(templateId)
    try {
      await this.#cancel(template)
      const removeArchives = await this.#options.uploads.releasedBy(templateId)
      await remove()
      await removeArchives()
    } finally {
      this.#discarding.delete(templateId)
    }
  }

  async #cancel(template: Template): Promise<void> {
    for (const { buildId } of template.builds) {
      const running = this.#running.get(buildId)
      running?.abort.abort(new SandlotError('conflict', 'the template was deleted'))
      await running?.done
    }
  }

  /** Builds of a server that is gone have failed; what they had finished is found by the next. */
  async recover(): Promise<void> {
    const { catalogue, checkpoints, now } = this.#options
    for (const build of catalogue.unfinishedBuilds()) {
      await checkpoints.remove(build.checkpointId)
      const message =
        build.status === 'waiting'
          ? 'the server was restarted before the build was started: start a new one'
          : 'the server was restarted in the middle of the build: start a new one, it goes on from the steps that were finished'
      await catalogue.updateBuild(build, {
        status: 'error',
        reason: { message },
        updatedAtMs: now(),
        finishedAtMs: now(),
      })
    }
  }

  /** Ends what runs, and waits for it at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true
    const reason = new SandlotError(
      'server_draining',
      'the server was stopped in the middle of the build: start a new one, it goes on from the steps that were finished',
    )
    const running = [...this.#running.values()]
    for (const { abort } of running) abort.abort(reason)
    await within(timeoutMs, Promise.all(running.map(({ done }) => done))).catch((err) =>
      this.#options.logger.warn({ err }, 'a build did not end in time'),
    )
  }
}

/** What a build starts from, and which variables commands of its sandboxes get (docs/adr/0030). */
interface Origin {
  from: BuildOrigin
  isShown: (name: string) => boolean
}

function checkWaiting({ buildId, status }: BuildRecord): void {
  if (status !== 'waiting')
    throw new SandlotError(
      'invalid_request',
      `build '${buildId}' is ${status}: only a waiting one can be started`,
    )
}

const reasonOf = (error: unknown): BuildReason => {
  const { message } = error as Error
  return error instanceof BuildFailure ? { message, step: error.step } : { message }
}
