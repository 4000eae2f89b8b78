import { BuildFailure, SandlotError } from '@sandlot/protocol'
import type { BuildRecipe, EventReceiver, SandboxNode } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { within } from '../concurrency/within.ts'
import { storeError } from '../store/open-store.ts'
import { whenStoreAnswers } from '../store/transactions.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { isRecord, type Template, type TemplateRegistry } from '../templates/registry.ts'
import type { BuildReason, BuildRecord } from '../templates/repository.ts'
import type { Uploads } from '../uploads/service.ts'
import type { StorageUsage } from '../usage/service.ts'
import { announceBuild, type NewBuild } from './announcement.ts'
import type { BuildLogs } from './logs.ts'
import { NodeBuilds } from './node-builds.ts'
import { type Origin, originOf } from './origin.ts'
import { type BuildPlace, BuildQueue } from './queue.ts'
import { type BuildStart, checkOrigin, loginOf, recipeOf } from './request.ts'
import { BuildRetention } from './retention.ts'

export interface BuildLimits {
  /** Number of builds that run concurrently. */
  concurrency: number
  /** A build that takes longer is cancelled. */
  timeoutMs: number
}

export interface TemplateBuilderOptions {
  node: SandboxNode
  nodeEvents: EventReceiver
  templates: TemplateRegistry
  checkpoints: CheckpointRepository
  uploads: Uploads
  logs: BuildLogs
  limits: TeamLimits
  storage: StorageUsage
  builds: BuildLimits
  logger: Logger
  now: () => number
}

/** Runs template builds: each is announced, started, queued, and ends with a checkpoint or the reason of the failure. */
export class TemplateBuilder {
  readonly #options: TemplateBuilderOptions
  readonly #queue: BuildQueue
  readonly #nodeBuilds: NodeBuilds
  readonly #retention: BuildRetention
  /** Queued and running builds, by id. */
  readonly #running = new Map<string, { abort: AbortController; done: Promise<void> }>()
  /** Templates that are being deleted, whose builds must end first. */
  readonly #discarding = new Set<string>()
  #isClosed = false

  constructor(options: TemplateBuilderOptions) {
    this.#options = options
    this.#queue = new BuildQueue(options.builds.concurrency)
    this.#retention = new BuildRetention(options)
    const { node, nodeEvents, logs, logger } = options
    this.#nodeBuilds = new NodeBuilds({
      node,
      events: nodeEvents,
      onLine: (buildId, line) => logs.add(buildId, line),
      recorded: (buildId) => this.#running.get(buildId)?.done,
      onError: (err) => logger.warn({ err }, 'a call for a build failed'),
    })
  }

  /** Records a build that waits to be started. @throws SandlotError invalid_request, quota_exceeded, conflict */
  announce(team: Team, request: NewBuild): Promise<{ template: Template; build: BuildRecord }> {
    const checkNotDiscarding = (templateId: string) => this.#checkNotDiscarding(templateId)
    return announceBuild({ ...this.#options, checkNotDiscarding }, team, request)
  }

  /** @throws SandlotError conflict while the template is being deleted: a new build would be deleted with it */
  #checkNotDiscarding(templateId: string): void {
    if (this.#discarding.has(templateId))
      throw new SandlotError('conflict', `template '${templateId}' is being deleted: try again in a moment`)
  }

  /**
   * Starts an announced build; resolves when the start is recorded, before the build leaves the queue.
   * @throws SandlotError invalid_request, not_found, forbidden, quota_exceeded, conflict, server_draining
   */
  async start(team: Team, templateId: string, buildId: string, body: BuildStart): Promise<void> {
    if (this.#isClosed)
      throw new SandlotError('server_draining', 'the server is shutting down; try again in a moment', {
        retryAfterSeconds: 5,
      })
    const { templates, now, limits, storage } = this.#options
    const build = this.find(team, templateId, buildId)
    checkWaiting(build)
    checkOrigin(body)
    this.#checkNotDiscarding(build.templateId)
    const recipe = recipeOf(team, body, build)
    const login = loginOf(body.fromImageRegistry)
    limits.checkReservable(team)
    await storage.checkQuota(team)
    await this.#checkFiles(team, recipe)
    // a concurrent caller may have started the build in the meantime
    checkWaiting(build)
    build.status = 'building'
    await templates.updateBuild(build, { status: 'building', updatedAtMs: now() }).catch((error) => {
      build.status = 'waiting'
      throw error
    })
    this.#enqueue(team, build, recipe, () => originOf(templates, team, body, login))
  }

  #enqueue(team: Team, build: BuildRecord, recipe: Omit<BuildRecipe, 'from'>, origin: () => Origin): void {
    const { timeoutMs } = this.#options.builds
    const { buildId } = build
    const abort = new AbortController()
    const timer = setTimeout(
      () =>
        abort.abort(
          new SandlotError(
            'operation_timeout',
            `the build took longer than ${timeoutMs / 60_000} minutes and was ended`,
          ),
        ),
      timeoutMs,
    )
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

  /** Counts the build as one of the team's running sandboxes, as it uses one machine at a time. */
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
    const { node, templates, checkpoints, logs, now } = this.#options
    const { buildId, templateId, checkpointId } = build
    const startedMs = performance.now()
    logs.add(buildId, { level: 'info', message: `Building template ${templateId}/${buildId}` })
    const { from, isShown } = origin()
    await whenStoreAnswers(() =>
      checkpoints.insert({
        checkpointId,
        teamId: team.teamId,
        sandboxId: '',
        parentId: undefined,
        why: 'build',
        hasMemory: true,
        createdAtMs: now(),
      }),
    )
    const job = {
      buildId,
      checkpointId,
      recipe: { ...recipe, from },
      isBackground: recipe.isShared ?? false,
    }
    const { checkpoint, environment } = await this.#nodeBuilds.run(job, place, signal)
    signal.throwIfAborted()
    await whenStoreAnswers(() => checkpoints.complete(checkpoint))
    const runtimeEnvVars = Object.fromEntries(
      Object.entries(environment.envVars).filter(([name]) => isShown(name)),
    )
    const finished = { ...environment, runtimeEnvVars }
    await node.addBuild({ ...build, ...finished })
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    logs.add(buildId, { level: 'info', message: `Build finished, took ${seconds}s` })
    await whenStoreAnswers(() => logs.close(buildId))
    const nowMs = now()
    await whenStoreAnswers(() =>
      templates.updateBuild(build, {
        ...finished,
        status: 'ready',
        updatedAtMs: nowMs,
        finishedAtMs: nowMs,
      }),
    )
    await this.#retention.dropUntagged(team, templateId)
  }

  async #fail(build: BuildRecord, error: unknown): Promise<void> {
    const { templates, checkpoints, node, logs, logger, now } = this.#options
    const reason = reasonOf(storeError(error))
    const { buildId, templateId } = build
    if (!(error instanceof SandlotError)) logger.warn({ err: error, buildId, templateId }, 'a build failed')
    try {
      logs.add(buildId, { level: 'error', message: reason.message, step: reason.step })
      await whenStoreAnswers(() => logs.close(buildId))
      await node.removeBuild(buildId)
      await node.removeCheckpoint(build.checkpointId)
      await whenStoreAnswers(() => checkpoints.remove(build.checkpointId))
      const nowMs = now()
      await whenStoreAnswers(() =>
        templates.updateBuild(build, { status: 'error', reason, updatedAtMs: nowMs, finishedAtMs: nowMs }),
      )
      await this.#retention.dropFailed(templateId)
    } catch (err) {
      // the next start of the server marks unfinished builds as failed
      Object.assign(build, { status: 'error', reason })
      logger.warn({ err, buildId }, 'the end of a build was not recorded')
    }
  }

  /** @throws SandlotError not_found, forbidden */
  find(team: Team, templateId: string, buildId: string): BuildRecord {
    const template = this.#options.templates.own(templateId, team)
    const build = template.builds.find((known) => known.buildId === buildId)
    if (build && isRecord(build)) return build
    throw new SandlotError(
      'not_found',
      `template '${templateId.slice(0, 100)}' has no build '${buildId.slice(0, 100)}'`,
    )
  }

  /**
   * Cancels the builds of a template, calls `remove`, and deletes archives that no other template uses.
   * @throws SandlotError conflict: the template is being deleted already
   */
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

  /** Marks builds that the last server left unfinished as failed. New builds reuse their finished steps. */
  async recover(): Promise<void> {
    const { templates, checkpoints, now } = this.#options
    for (const build of templates.unfinishedBuilds()) {
      await checkpoints.remove(build.checkpointId)
      const message =
        build.status === 'waiting'
          ? 'the server was restarted before the build was started: start a new one'
          : 'the server was restarted in the middle of the build: start a new one, which reuses the finished steps'
      await templates.updateBuild(build, {
        status: 'error',
        reason: { message },
        updatedAtMs: now(),
        finishedAtMs: now(),
      })
    }
  }

  /** Cancels the running builds, and waits for their end, at most `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true
    const reason = new SandlotError(
      'server_draining',
      'the server was stopped in the middle of the build: start a new one, which reuses the finished steps',
    )
    const running = [...this.#running.values()]
    for (const { abort } of running) abort.abort(reason)
    await within(timeoutMs, Promise.all(running.map(({ done }) => done))).catch((err) =>
      this.#options.logger.warn({ err }, 'a build did not end in time'),
    )
  }
}

function checkWaiting({ buildId, status }: BuildRecord): void {
  if (status !== 'waiting')
    throw new SandlotError(
      'invalid_request',
      `build '${buildId}' is ${status}: only a waiting build can be started`,
    )
}

const reasonOf = (error: unknown): BuildReason => {
  const { message } = error as Error
  return error instanceof BuildFailure ? { message, step: error.step } : { message }
}
