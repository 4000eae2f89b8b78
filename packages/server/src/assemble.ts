import { randomUUID } from 'node:crypto'
import { statfsSync } from 'node:fs'
import { type BuildResources, EventReceiver, type Joined } from '@sandlot/protocol/node'
import { ApiKeyRepository } from './api-keys/repository.ts'
import { AccessTokenSigner } from './auth/access-token.ts'
import { Authenticator } from './auth/authenticate.ts'
import { openServerSecret } from './auth/server-secret.ts'
import { BuildLogs } from './builds/logs.ts'
import { TemplateBuilder } from './builds/service.ts'
import { CatalogProgress } from './catalog/progress.ts'
import { CheckpointRepository } from './checkpoints/repository.ts'
import { CheckpointService } from './checkpoints/service.ts'
import type { AppOptions } from './create-app.ts'
import { EgressRepository } from './egress/repository.ts'
import { EgressService } from './egress/service.ts'
import { EventRepository } from './events/repository.ts'
import { IdempotencyRepository } from './idempotency/repository.ts'
import { Idempotency } from './idempotency/service.ts'
import { IdentityKeyRepository } from './identity/repository.ts'
import { IdentityService } from './identity/service.ts'
import { SigningKeys } from './identity/signing-keys.ts'
import { MetricsRepository } from './metrics/repository.ts'
import { MetricsService } from './metrics/service.ts'
import type { ControlPlaneOptions } from './options.ts'
import { autoResume } from './sandboxes/auto-resume.ts'
import { Deadlines } from './sandboxes/deadlines.ts'
import { Forks } from './sandboxes/forks.ts'
import { SandboxLifecycle } from './sandboxes/lifecycle.ts'
import { NetworkUpdates } from './sandboxes/network-updates.ts'
import { SandboxOperations } from './sandboxes/operations.ts'
import { Pauses } from './sandboxes/pauses.ts'
import { recoverSandboxes } from './sandboxes/recovery.ts'
import { SandboxRegistry } from './sandboxes/registry.ts'
import { SandboxRepository } from './sandboxes/repository.ts'
import { Rollbacks } from './sandboxes/rollback.ts'
import { SandboxService } from './sandboxes/service.ts'
import { VolumeMounts } from './sandboxes/volume-mounts.ts'
import { NO_KEYS } from './secrets/key-source.ts'
import { SecretRepository } from './secrets/repository.ts'
import { SecretService } from './secrets/service.ts'
import { Vault } from './secrets/vault.ts'
import { SessionRepository } from './sessions/repository.ts'
import { SessionService } from './sessions/service.ts'
import { SnapshotService } from './snapshots/service.ts'
import { openInstanceId } from './store/instance-id.ts'
import type { Store } from './store/open-store.ts'
import { Takeovers } from './takeover/service.ts'
import { TeamLimits } from './teams/limits.ts'
import { findTeam } from './teams/repository.ts'
import { TemplateRegistry } from './templates/registry.ts'
import { TemplateRepository } from './templates/repository.ts'
import { TemplateService } from './templates/service.ts'
import { TagHistory } from './templates/tag-history.ts'
import { UploadRepository } from './uploads/repository.ts'
import { Uploads } from './uploads/service.ts'
import { StorageUsage } from './usage/service.ts'
import { VolumeRepository } from './volumes/repository.ts'
import { VolumeService } from './volumes/service.ts'
import { VolumeTokens } from './volumes/tokens.ts'

export type AssembleOptions = ControlPlaneOptions & { now: () => number }

/** The services of a control plane: those of the API's routes, and those that only start and shutdown use. */
export interface Services extends AppOptions {
  store: Store
  registry: SandboxRegistry
  sandboxRows: SandboxRepository
  metricRows: MetricsRepository
  takeovers: Takeovers
  /** Reconciles rows, machines and checkpoints after a start. */
  recover: () => Promise<Joined>
  nodeEvents: EventReceiver
}

/** Builds the services of a control plane, and connects them. Nothing runs yet. */
export async function assemble(options: AssembleOptions): Promise<Services> {
  const { store, domain, now } = options
  const parts = assembleParts(options)
  const { operations, catalogProgress, uploads, storage } = parts
  const { registry, templates, limits, repository: sandboxRows } = operations
  const volumes = assembleVolumes(options, parts)
  const sandboxes = assembleSandboxes(options, parts, volumes, await openInstanceId(store))
  const metricRows = new MetricsRepository(store)
  const builds = assembleBuilds(options, parts, sandboxes.checkpoints)
  const access = await assembleAccess(options)
  return {
    ...sandboxes,
    ...builds,
    ...access,
    volumes,
    volumeTokens: new VolumeTokens(access.deriveKey, domain, now),
    teamOf: (teamId) => findTeam(store, teamId),
    ...(await assembleCredentials(options, parts)),
    nodeEvents: parts.nodeEvents,
    store,
    registry,
    sandboxRows,
    metricRows,
    metrics: new MetricsService(metricRows, registry),
    events: new EventRepository(store),
    egress: new EgressService(operations, new EgressRepository(store)),
    limits,
    storage,
    templates,
    tagHistory: new TagHistory(store),
    templateDescriptions: new Map(Object.entries(options.templateDescriptions ?? {})),
    uploads,
    catalog: options.catalog,
    catalogProgress,
    clientPackages: new Map(Object.entries(options.clientPackages ?? {})),
    mcp: options.mcp,
    domain,
    ownPorts: options.ownPorts ?? [],
    now,
  }
}

/** What sandboxes and builds share: rows, registries, limits and the node. */
interface Parts {
  operations: SandboxOperations
  checkpointRows: CheckpointRepository
  uploads: Uploads
  storage: StorageUsage
  catalogProgress: CatalogProgress
  nodeEvents: EventReceiver
  /** Result of the last join. */
  joined: { capacity?: BuildResources }
}

function assembleParts(options: AssembleOptions): Parts {
  const { store, nodeId, node, logger, now } = options
  const registry = new SandboxRegistry()
  const catalogProgress = new CatalogProgress(now)
  const nodeEvents = new EventReceiver(node, (err) =>
    logger.warn({ err }, 'an event of the node was not recorded'),
  )
  const joined: Parts['joined'] = {}
  const limits = new TeamLimits({
    runningOf: (teamId) => registry.countOf(teamId),
    capacity: () => joined.capacity!,
    now,
  })
  const uploads = assembleUploads(options, limits)
  const checkpointRows = new CheckpointRepository(store, nodeId)
  const operations = new SandboxOperations({
    node,
    repository: new SandboxRepository(store, nodeId),
    registry,
    templates: new TemplateRegistry(new TemplateRepository(store), catalogProgress),
    limits,
    teamOf: (teamId) => findTeam(store, teamId),
    logger,
    now,
  })
  const storage = new StorageUsage({ node, checkpoints: checkpointRows, uploads, limits })
  return { operations, checkpointRows, uploads, storage, catalogProgress, nodeEvents, joined }
}

/** Connects the services of sandboxes: sandboxes pause or end at their deadline, and resume when traffic arrives. */
function assembleSandboxes(
  options: AssembleOptions,
  parts: Parts,
  volumes: VolumeService,
  instanceId: string,
) {
  const { operations, checkpointRows, storage, nodeEvents, joined } = parts
  const sessionId = randomUUID()
  const { requireSecure = false, allowedRanges = [] } = options
  const networkLimits = { allowedRanges }
  const deadlines = new Deadlines(operations, {
    kill: (sandboxId) => lifecycle.endInBackground(sandboxId, 'timeout'),
    autoPause: (sandboxId, hasMemory) => pauses.autoPause(sandboxId, hasMemory),
  })
  const lifecycle = new SandboxLifecycle(operations, deadlines, nodeEvents, async (sandboxId) =>
    checkpoints.removeAllOf(sandboxId, await takeovers.remove(sandboxId)),
  )
  const takeovers = new Takeovers({
    operations,
    checkpoints: checkpointRows,
    records: options.records?.(instanceId),
    end: (sandboxId, reason) => lifecycle.endInBackground(sandboxId, reason),
  })
  const checkpoints = new CheckpointService(operations, checkpointRows, storage)
  const pauses = new Pauses({ operations, lifecycle, deadlines, checkpoints, takeovers })
  operations.registry.onWake((sandboxId) => autoResume(operations, pauses, sandboxId))
  return {
    sandboxes: new SandboxService({
      operations,
      lifecycle,
      deadlines,
      requireSecure,
      networkLimits,
      mountsOf: (teamId, asked) => volumes.mountsOf(teamId, asked),
    }),
    networkUpdates: new NetworkUpdates(operations, networkLimits),
    volumeMounts: new VolumeMounts(operations, (teamId, asked, mounted) =>
      volumes.mountOf(teamId, asked, mounted),
    ),
    pauses,
    forks: new Forks(operations, lifecycle, checkpoints, requireSecure),
    rollbacks: new Rollbacks(operations, lifecycle, checkpointRows, takeovers),
    checkpoints,
    snapshots: new SnapshotService(operations, checkpoints),
    takeovers,
    async recover() {
      const found = await recoverSandboxes({
        operations,
        lifecycle,
        checkpoints,
        checkpointRows,
        instanceId,
        sessionId,
      })
      joined.capacity = found.capacity
      return found
    },
  }
}

function assembleBuilds(options: AssembleOptions, parts: Parts, checkpoints: CheckpointService) {
  const { store, node, logger, now } = options
  const { operations, checkpointRows, uploads, storage, nodeEvents } = parts
  const { templates, limits, registry } = operations
  const buildLogs = new BuildLogs(store, now, (err) => logger.warn({ err }, 'a build log was not stored'))
  const templateBuilder = new TemplateBuilder({
    node,
    nodeEvents,
    templates,
    checkpoints: checkpointRows,
    uploads,
    logs: buildLogs,
    limits,
    storage,
    builds: options.builds,
    logger,
    now,
  })
  const templateService = new TemplateService({
    templates,
    node,
    sandboxes: registry,
    checkpoints,
    builder: templateBuilder,
    limits,
    now,
  })
  return { buildLogs, templateBuilder, templateService }
}

function assembleUploads(options: AssembleOptions, limits: TeamLimits): Uploads {
  const { store, node, uploadsDir } = options
  return new Uploads({
    dir: uploadsDir,
    repository: new UploadRepository(store),
    limits,
    checkArchive: (key, options) => node.checkArchive(key, options),
    roomBytes: options.roomBytes ?? (() => freeBytes(uploadsDir)),
    now: options.now,
  })
}

function assembleVolumes(options: AssembleOptions, { operations }: Parts): VolumeService {
  const { store, volumes: storage, volumeTrashMs: trashMs, logger, now } = options
  const { limits } = operations
  const usersOf = (teamId: string, volumeId: string) =>
    [...operations.registry.ofTeam(teamId)]
      .filter(({ settings }) => settings.volumeMounts?.some((mount) => mount.volumeId === volumeId))
      .map(({ sandboxId }) => sandboxId)
  return new VolumeService({
    repository: new VolumeRepository(store),
    storage,
    limits,
    usersOf,
    trashMs,
    logger,
    now,
  })
}

/** Builds the services that identify callers and their repeated requests. */
async function assembleAccess({ store, domain, adminEmail, logger, now }: AssembleOptions) {
  const deriveKey = await openServerSecret(store)
  const keys = new ApiKeyRepository(store)
  const authenticator = new Authenticator(keys, () => sessions, now)
  const sessions = new SessionService({
    repository: new SessionRepository(store),
    keys,
    signer: new AccessTokenSigner(deriveKey, now),
    deriveKey,
    email: adminEmail ?? `admin@${domain.replace(/:\d+$/, '')}`,
    logger,
    now,
    onEnded: () => authenticator.forget(),
  })
  const repository = new IdempotencyRepository(store)
  const idempotency = new Idempotency({ repository, deriveKey, logger, now })
  return { deriveKey, keys, authenticator, sessions, idempotency }
}

/** Builds the services of what requests of sandboxes carry: secrets and identity tokens. */
async function assembleCredentials(options: AssembleOptions, { operations }: Parts) {
  const { store, domain, secretsKeys = NO_KEYS, logger, now } = options
  const { registry, limits } = operations
  const vault = await Vault.open(store, secretsKeys, logger)
  const secrets = new SecretService({ repository: new SecretRepository(store), vault, limits, now })
  const identityKeys = new SigningKeys({ repository: new IdentityKeyRepository(store), vault, now })
  const identity = new IdentityService({ keys: identityKeys, registry, domain, now })
  return { secrets, identity, identityKeys }
}

function freeBytes(dir: string): number {
  const { bavail, bsize } = statfsSync(dir)
  return bavail * bsize
}
