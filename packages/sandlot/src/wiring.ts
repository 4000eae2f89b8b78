import { hostname } from 'node:os'
import { join } from 'node:path'
import { createEdge, openCertificateStore } from '@sandlot/edge'
import { diskSpace, roomAbove, SandboxRecords, templateSize, unlistedIn } from '@sandlot/node'
import { HOUR_MS } from '@sandlot/protocol'
import type { SandboxNode } from '@sandlot/protocol/node'
import {
  type CatalogReport,
  type ControlPlane,
  createLoginLink,
  createServer,
  type KeyStore,
  kindOf,
  type Lease,
  type ListedTemplate,
  listTemplates,
  openKeyStore,
  openStore,
  type Store,
  takeLease,
  withCatalogKey,
} from '@sandlot/server'
import type { Volumes } from '@sandlot/volumes'
import type { Logger } from 'pino'
import { templateDescriptions } from '../../../templates/names.ts'
import { CatalogBuilder } from './catalog/catalog-builder.ts'
import { CatalogEstimates } from './catalog/estimates.ts'
import { roomForCatalog } from './catalog/floor.ts'
import { catalogOf } from './catalog/names.ts'
import { RemovedTemplates } from './catalog/removed-templates.ts'
import type { Config } from './config.ts'
import { LateCredentials } from './egress.ts'
import { makeHome } from './home-folder.ts'
import { openListeners } from './listeners.ts'
import { type Bucket, createMachine, openBucket } from './machine.ts'
import { McpTools } from './mcp.ts'
import { openNodeId } from './node-id.ts'
import type { Progress } from './progress.ts'
import { SecretsKeys } from './secrets-keys.ts'
import type { Programs } from './setup/index.ts'
import { storeOfServer, storeUrl } from './store-url.ts'
import { Traffic } from './traffic.ts'
import { describeUnlisted } from './unlisted-report.ts'
import { openVolumes } from './volumes.ts'

/** Time for pending creates after the listener has closed. */
const CREATING_MS = 2_000

export interface ServerInputs {
  config: Config
  /** Addresses to listen on. */
  hosts: string[]
  /** Addresses of the listener for sandboxes only. */
  sandboxHosts?: string[]
  programs: Programs
  progress: Progress
  logger: Logger
  /**
   * Called with the active server of the database while this server waits for it, and with undefined when this server has
   * become the active one.
   */
  onStandby(holder: string | undefined): void
  /** Called when another server has become the active one, so that this process must end at once. */
  onLeaseLost(reason: string): void
}

/** The server of one home, running in this process. */
export interface RunningServer {
  /** PEM file with the authorities that clients should trust: those of the system and of the server. */
  caBundle: string
  /** @param known key of an earlier start, kept when it is still valid. @returns a valid key */
  ensureApiKey(known: string | undefined): Promise<string>
  /**
   * Builds missing templates of the catalog in the background.
   * @param env environment of clients, without the key @param onPlanned called once the missing templates are known
   */
  buildCatalog(env: Record<string, string>, onPlanned: (report: CatalogReport) => void): Promise<void>
  /** Stops accepting requests and lets pending ones end for `graceMs`. Sandboxes stay alive. */
  close(graceMs: number): Promise<void>
}

/** Creates node, control plane, edge and listeners and connects them. Resolves when requests are answered. */
export async function startServer(inputs: ServerInputs): Promise<RunningServer> {
  const { config, hosts, sandboxHosts, progress, logger } = inputs
  const { home, domain, catalog: asked } = config.settings
  const active = await becomeActive(inputs)
  const bucket = await openBucket(config.settings)
  const traffic = new Traffic()
  const archivesDir = join(home, 'uploads')
  const quiet = (signal: AbortSignal) => traffic.quiet(signal)
  const credentials = new LateCredentials()
  const volumes = await openVolumes(config.settings, logger)
  const node = await createMachine({ ...inputs, volumes, bucket, archivesDir, credentials, quiet })
  const catalog = openCatalog(config, logger)
  const mcp = new McpTools(domain, logger)
  const parts = { node, volumes, bucket, catalog, archivesDir, mcp }
  const server = await createControlPlane(inputs, active, parts)
  credentials.connect(server.credentials)
  await progress.step('sandboxes', async () => {
    await server.start()
    return describeSandboxes(home, server)
  })
  const tls = await openCertificateStore(join(home, 'ca'), domain, [...hosts, ...(sandboxHosts ?? [])])
  if (tls.replacedBecause)
    logger.warn(
      { reason: tls.replacedBecause },
      'the local CA was replaced: running clients must `source` the env file again',
    )
  const edge = createEdge({ directory: server.directory, domain, logger })
  mcp.connect({ edge, api: server.fastify, traffic })
  const listeners = await openListeners(inputs, { tls, edge, api: server.fastify, traffic })
  return {
    caBundle: tls.bundlePath,
    ensureApiKey: (known) => server.ensureDefaultTeam(known),
    async buildCatalog(env, onPlanned) {
      const names = catalogOf(asked)
      const key = await server.newCatalogKey()
      const { catalogProgress: progress } = server
      const planned = catalog.open({ env: { ...env, E2B_API_KEY: key }, progress }, names)
      void planned.then(() => onPlanned(progress.report()))
    },
    async close(graceMs) {
      catalog.close()
      server.refuseNew()
      await Promise.all(listeners.map((listener) => listener.close(graceMs)))
      await mcp.close()
      await edge.close()
      await server.close(CREATING_MS)
      await node.close()
      await volumes?.close()
      await active.lease?.release()
    },
  }
}

interface ControlPlaneParts {
  node: SandboxNode
  volumes: Volumes | undefined
  bucket: Bucket | undefined
  catalog: CatalogBuilder
  archivesDir: string
  mcp: McpTools
}

function createControlPlane(
  { config, programs, logger }: ServerInputs,
  { store, nodeId }: ActiveStore,
  { node, volumes, bucket, catalog, archivesDir, mcp }: ControlPlaneParts,
): Promise<ControlPlane> {
  const { settings, listen, sandboxListen } = config
  const records = recordsIn(config, bucket)
  if (bucket && !records)
    logger.info(
      'checkpointSecret is not set: no other machine can take over the paused sandboxes of this one',
    )
  return createServer({
    store,
    nodeId,
    node,
    domain: settings.domain,
    ownPorts: [listen.port, ...(sandboxListen ? [sandboxListen.port] : [])],
    adminEmail: settings.adminEmail,
    templateDescriptions,
    requireSecure: settings.requireSecure,
    allowedRanges: settings.allowedRanges,
    records,
    secretsKeys: new SecretsKeys(settings),
    volumes,
    volumeTrashMs: settings.volumeTrashHours * HOUR_MS,
    clientPackages: programs.clientPackages,
    mcp,
    logger,
    uploadsDir: archivesDir,
    roomBytes: () => roomAbove(diskSpace(settings.home), settings.diskFloorMB * 2 ** 20),
    builds: { concurrency: settings.maxBuilds, timeoutMs: settings.buildTimeoutMinutes * 60_000 },
    catalog,
  })
}

function openCatalog(config: Config, logger: Logger): CatalogBuilder {
  const { home, cache, catalogFloorMB } = config.settings
  return new CatalogBuilder({
    removed: new RemovedTemplates(home),
    estimates: new CatalogEstimates(cache),
    roomBytes: () => roomForCatalog(diskSpace(home), catalogFloorMB),
    sizeBytes: (name) => catalogSize(config, name),
    logger,
  })
}

/** Describes the sandboxes that a start found, for the progress display. */
async function describeSandboxes(home: string, { directory }: ControlPlane): Promise<string> {
  const known = [...directory.reachable()]
  const running = known.filter(({ state }) => state === 'running').length
  const unlisted = await unlistedIn(home)
  const more =
    unlisted.checkpoints.length + unlisted.machines.length > 0 ? `; ${describeUnlisted(unlisted)}` : ''
  return `${running} running, ${known.length - running} paused${more}`
}

interface ActiveStore {
  store: Store
  nodeId?: string
  lease?: Lease
}

/**
 * Opens the database and waits until no other server uses it. For a SQLite file, the lock of the home already ensures
 * this.
 */
async function becomeActive(inputs: ServerInputs): Promise<ActiveStore> {
  const { config, progress, onStandby, onLeaseLost } = inputs
  const { home } = config.settings
  const store = await openStore(storeUrl(config.settings))
  if (kindOf(store) === 'sqlite') return { store }
  const nodeId = openNodeId(home)
  let lease: Lease | undefined
  await progress.step('store', async (step) => {
    lease = await takeLease(store, {
      about: `${nodeId} (pid ${process.pid}, home ${home})`,
      onWaiting(holder) {
        step.update(`standby: ${holder} is the active server of this database`)
        onStandby(holder)
      },
      onLost: onLeaseLost,
    })
    onStandby(undefined)
    return `PostgreSQL, where this server is the active one as ${nodeId}`
  })
  return { store, nodeId, lease }
}

/** Opens the API keys of a home; no running server is needed. */
export async function openKeys({ settings }: Config): Promise<KeyStore> {
  makeHome(settings.home)
  return openKeyStore(storeOfServer(settings))
}

/** Lists the templates of a home; no running server is needed. */
export async function templatesOf({ settings }: Config): Promise<ListedTemplate[]> {
  makeHome(settings.home)
  return listTemplates(storeOfServer(settings))
}

/** Returns the size of a template of the catalog: image and checkpoint. */
async function catalogSize(config: Config, name: string): Promise<number> {
  const listed = (await templatesOf(config)).find(
    (template) => template.team === null && template.name === name,
  )
  const size = listed?.checkpointId && (await templateSize(config.settings.home, listed.checkpointId))
  return size ? size.checkpointBytes + size.imageBytes : 0
}

/** Runs `work` with a temporary key of the catalog's team. */
export const withKeyOfCatalog = <T>({ settings }: Config, work: (key: string) => Promise<T>): Promise<T> =>
  withCatalogKey(storeOfServer(settings), work)

/** Creates a link that signs a browser in once, at the running server of this home. */
export const makeLoginLink = ({ settings }: Config, domain: string): Promise<string> =>
  createLoginLink(storeOfServer(settings), domain)

/** Opens the records of paused sandboxes in the bucket; undefined unless the settings name bucket and secret. */
export function recordsIn(
  { settings }: Config,
  bucket: Bucket | undefined,
): ((instanceId: string) => SandboxRecords) | undefined {
  const secret = settings.checkpointSecret
  if (!bucket || secret === '') return undefined
  return (instanceId) => new SandboxRecords(bucket.records, secret, { instanceId, name: hostname() })
}
