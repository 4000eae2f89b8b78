import { statfsSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import type { SandboxDirectory } from '@sandlot/protocol/directory'
import {
  EventReceiver,
  type Joined,
  type SandboxNode,
  type TakeoverRecords,
  toErrorData,
} from '@sandlot/protocol/node'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { ApiKeyRepository } from './api-keys/repository.ts'
import { AccessTokenSigner } from './auth/access-token.ts'
import { Authenticator } from './auth/authenticate.ts'
import { openServerSecret } from './auth/server-secret.ts'
import { BuildLogs } from './builds/logs.ts'
import { type BuildLimits, TemplateBuilder } from './builds/service.ts'
import { CatalogProgress } from './catalog/progress.ts'
import type { CatalogControl } from './catalog/routes.ts'
import { CheckpointRepository } from './checkpoints/repository.ts'
import type { ClientPackage } from './client-packages/client-package.ts'
import { createApp } from './create-app.ts'
import { EventRepository } from './events/repository.ts'
import { IdempotencyRepository } from './idempotency/repository.ts'
import { Idempotency } from './idempotency/service.ts'
import { SandboxMetrics } from './metrics/metrics.ts'
import { SandboxRegistry } from './sandboxes/registry.ts'
import { SandboxRepository } from './sandboxes/repository.ts'
import { SandboxService } from './sandboxes/service.ts'
import { SessionRepository } from './sessions/repository.ts'
import { SessionService } from './sessions/service.ts'
import { openInstanceId } from './store/instance-id.ts'
import { openStore } from './store/open-store.ts'
import { TeamLimits } from './teams/limits.ts'
import { ensureCatalogTeam, ensureDefaultTeam, findTeam } from './teams/repository.ts'
import { TemplateRegistry } from './templates/registry.ts'
import { TemplateRepository } from './templates/repository.ts'
import { TagHistory } from './templates/tag-history.ts'
import { UploadRepository } from './uploads/repository.ts'
import { Uploads } from './uploads/service.ts'

const HOUR_MS = 3600_000
const DAY_MS = 24 * HOUR_MS
const PRUNE_INTERVAL_MS = 60_000
const MAX_PRUNE_BATCHES = 50
/** The newest; each has at most 16 MB. */
const MAX_BUILD_LOGS_PER_TEAM = 100
/** About 250 MB; a team that makes a sandbox every four seconds has fewer in a week. */
const MAX_EVENTS_PER_TEAM = 500_000

export interface ControlPlaneOptions {
  /** SQLite file; `:memory:` for tests. */
  databasePath: string
  node: SandboxNode
  /** Folder for the files that templates are built from. */
  uploadsDir: string
  /** What may be written to its disk before sandboxes stand still for it. Default: all that is free. */
  roomBytes?: () => number
  builds: BuildLimits
  /** What builds the catalogue. Default: nothing does. */
  catalog?: CatalogControl
  /** What clients append to sandbox host names; may hold a port. */
  domain: string
  /** Ports that the listeners of this server have. Default: only what `domain` and requests name. */
  ownPorts?: readonly number[]
  /** Refuses sandboxes without an access token, which clients 1.x ask for. Default false. */
  requireSecure?: boolean
  /** Of the administrator, who is the one that signs in. Default `admin@` and the domain without its port. */
  adminEmail?: string
  /** Said of the templates that come with this server, by name. Default: nothing. */
  templateDescriptions?: Record<string, string>
  /** What `GET /npm/<file>` hands out, by file name. Default: nothing. */
  clientPackages?: Record<string, ClientPackage>
  /** Records of paused sandboxes in a bucket, by which another machine can take them over. Default: none. */
  records?: (instanceId: string) => TakeoverRecords
  logger: Logger
  /** How long killed sandboxes' rows and events stay. Default 7 days; metrics a day, those of killed ones an hour. */
  retentionMs?: number
  now?: () => number
}

export interface ControlPlane {
  /** Not listening: hand it requests with `fastify.routing(request, response)`. */
  fastify: FastifyInstance
  directory: SandboxDirectory
  /** Brings rows and machines together; the API answers afterwards. */
  start(): Promise<void>
  /** Refuses new sandboxes from now on (503 with Retry-After); everything else is still answered. */
  refuseNew(): void
  /** Refuses new sandboxes, waits for those under way, at most `timeoutMs` (default 5 s). Sandboxes stay alive. */
  close(timeoutMs?: number): Promise<void>
  keys: ApiKeyRepository
  /**
   * Makes the default team when it is missing.
   * @param known the key of a former start; kept when it is still good. @returns a key that works
   */
  ensureDefaultTeam(known?: string): Promise<string>
  /** What the catalogue's templates are built with; the one before ends. */
  newCatalogKey(): Promise<string>
  /** Where the building of the catalogue stands, for those who ask for a template that is not ready. */
  catalogProgress: CatalogProgress
}

export async function createServer(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { node, domain, logger, now = Date.now, retentionMs = 7 * DAY_MS } = options
  const store = await openStore(options.databasePath)
  const registry = new SandboxRegistry()
  const repository = new SandboxRepository(store)
  const catalogProgress = new CatalogProgress(now)
  const catalogue = new TemplateRegistry(new TemplateRepository(store), catalogProgress)
  const checkpoints = new CheckpointRepository(store)
  const keys = new ApiKeyRepository(store)
  const events = new EventRepository(store)
  const metrics = new SandboxMetrics(store, registry)
  const nodeEvents = new EventReceiver(node, (err) =>
    logger.warn({ err }, 'what the node reported was not recorded'),
  )
  let joined: Joined | undefined
  const limits = new TeamLimits({
    runningOf: (teamId) => registry.countOf(teamId),
    capacity: () => joined!.capacity,
    now,
  })
  const authenticator = new Authenticator(keys, () => sessions, now)
  const deriveKey = await openServerSecret(store)
  const sessions = new SessionService({
    repository: new SessionRepository(store),
    keys,
    signer: new AccessTokenSigner(deriveKey, now),
    deriveKey,
    email: options.adminEmail ?? `admin@${domain.replace(/:\d+$/, '')}`,
    logger,
    now,
    onEnded: () => authenticator.forget(),
  })
  const uploads = new Uploads({
    dir: options.uploadsDir,
    repository: new UploadRepository(store),
    limits,
    checkArchive: (key, owner) => node.checkArchive(key, owner),
    roomBytes: options.roomBytes ?? (() => freeBytes(options.uploadsDir)),
    now,
  })
  const instanceId = await openInstanceId(store)
  const sandboxes = new SandboxService({
    ...{ uploads, instanceId },
    ...{ node, nodeEvents, repository, registry, catalogue, checkpoints, limits, logger, now },
    teamOf: (teamId) => findTeam(store, teamId),
    records: options.records?.(instanceId),
    requireSecure: options.requireSecure,
  })
  const idempotency = new Idempotency({
    ...{ deriveKey, logger, now },
    repository: new IdempotencyRepository(store),
  })
  const buildLogs = new BuildLogs(store, now, (err) => logger.warn({ err }, 'a log was not stored'))
  const templateBuilder = new TemplateBuilder({
    ...{ node, nodeEvents, catalogue, checkpoints, uploads, limits, logger, now },
    storage: sandboxes.storage,
    logs: buildLogs,
    builds: options.builds,
  })
  const fastify = await createApp(
    {
      sandboxes,
      metrics,
      events,
      idempotency,
      keys,
      limits,
      authenticator,
      sessions,
      deriveKey,
      templates: catalogue,
      tagHistory: new TagHistory(store),
      templateDescriptions: new Map(Object.entries(options.templateDescriptions ?? {})),
      clientPackages: new Map(Object.entries(options.clientPackages ?? {})),
      domain,
      ownPorts: options.ownPorts ?? [],
      now,
      templateBuilder,
      uploads,
      buildLogs,
      catalogProgress,
      catalog: options.catalog,
    },
    logger,
  )
  nodeEvents.on('samples', ({ samples }) => metrics.record(samples))

  /** Small batches: nobody waits for the database. */
  async function prune(): Promise<void> {
    for (const pruneBatch of [
      // before the rows that hold what events refer to
      () => events.prune(now() - retentionMs),
      () => events.pruneTeams(MAX_EVENTS_PER_TEAM),
      () => repository.prune(now() - retentionMs),
      () => metrics.prune(now() - DAY_MS),
      () => metrics.pruneKilled(now() - HOUR_MS),
      () => sessions.prune(),
      () => idempotency.prune(),
      () => buildLogs.prune(MAX_BUILD_LOGS_PER_TEAM),
    ])
      for (let batch = 0; batch < MAX_PRUNE_BATCHES && !isClosed && (await pruneBatch()) > 0; batch++)
        await new Promise(setImmediate)
    await uploads.prune()
  }
  let pruning: NodeJS.Timeout | undefined
  let isClosed = false

  return {
    fastify,
    directory: registry,
    keys,
    async start() {
      await catalogue.load()
      await uploads.prepare()
      await templateBuilder.recover()
      joined = await sandboxes.recover()
      nodeEvents.start()
      await catalogue.loadCommon(joined.builds)
      for (const buildId of joined.buildsUnderWay) await node.cancelBuild(buildId, toErrorData(restarted()))
      pruning = setInterval(
        () => prune().catch((err) => logger.warn({ err }, 'old rows were not pruned')),
        PRUNE_INTERVAL_MS,
      )
      pruning.unref()
    },
    refuseNew: () => sandboxes.refuseNew(),
    async close(timeoutMs = 5_000) {
      clearInterval(pruning)
      await templateBuilder.close(timeoutMs)
      await sandboxes.drain(timeoutMs)
      await idempotency.settle(timeoutMs)
      isClosed = true
      nodeEvents.close()
      await fastify.close()
      await store.destroy()
    },
    async ensureDefaultTeam(known) {
      const { teamId } = await ensureDefaultTeam(store)
      if (known && (await keys.findOwner(known))) return known
      return (await keys.create(teamId, 'default')).key
    },
    catalogProgress,
    async newCatalogKey() {
      const { teamId } = await ensureCatalogTeam(store)
      for (const { id } of await keys.list(teamId)) await keys.delete(id)
      authenticator.forget()
      return (await keys.create(teamId, 'catalog')).key
    },
  }
}

/** Why builds end that a former server has started: their rows say that they have failed. */
const restarted = (): SandlotError =>
  new SandlotError('server_draining', 'the server was restarted in the middle of the build')

function freeBytes(dir: string): number {
  const { bavail, bsize } = statfsSync(dir)
  return bavail * bsize
}
