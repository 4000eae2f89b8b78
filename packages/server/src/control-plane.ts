import { type EgressCredentials, SandlotError } from '@sandlot/protocol'
import type { SandboxDirectory } from '@sandlot/protocol/directory'
import { type SandboxNode, toErrorData } from '@sandlot/protocol/node'
import type { FastifyInstance } from 'fastify'
import type { ApiKeyRepository } from './api-keys/repository.ts'
import { assemble, type Services } from './assemble.ts'
import type { CatalogProgress } from './catalog/progress.ts'
import { createApp } from './create-app.ts'
import type { ControlPlaneOptions } from './options.ts'
import { Retention } from './retention.ts'
import { ensureCatalogTeam, ensureDefaultTeam } from './teams/repository.ts'

export interface ControlPlane {
  /** Does not listen: callers hand it requests with `fastify.routing(request, response)`. */
  fastify: FastifyInstance
  directory: SandboxDirectory
  /** Reconciles rows and machines. The API may be called once this has resolved. */
  start(): Promise<void>
  /** Refuses new sandboxes from now on (503 with Retry-After); all other requests are still served. */
  refuseNew(): void
  /** Refuses new sandboxes and waits for pending operations, at most `timeoutMs` (default 5 s). Sandboxes stay alive. */
  close(timeoutMs?: number): Promise<void>
  /** Secrets and identity tokens for the headers of requests that leave sandboxes. */
  credentials: EgressCredentials
  keys: ApiKeyRepository
  /**
   * Creates the default team when it is missing.
   * @param known an API key of an earlier start, which is returned if it is still valid; otherwise a new key is created
   */
  ensureDefaultTeam(known?: string): Promise<string>
  /** Creates the API key for building the catalog's templates; deletes the previous one. */
  newCatalogKey(): Promise<string>
  /** Progress of the catalog, to tell callers why a template is not ready. */
  catalogProgress: CatalogProgress
}

/** Builds the services of a control plane and its API. Nothing runs before `start`. */
export async function createServer(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { node, logger, retentionMs, now = Date.now } = options
  const services = await assemble({ ...options, now })
  const fastify = await createApp(services, logger)
  return new Server(services, fastify, new Retention({ ...services, logger, retentionMs }), node)
}

class Server implements ControlPlane {
  readonly fastify: FastifyInstance
  readonly #services: Services
  readonly #retention: Retention
  readonly #node: SandboxNode
  constructor(services: Services, fastify: FastifyInstance, retention: Retention, node: SandboxNode) {
    this.#services = services
    this.fastify = fastify
    this.#retention = retention
    this.#node = node
    services.nodeEvents.on('samples', ({ samples }) => services.metrics.record(samples))
    services.nodeEvents.on('connections', (event) => services.egress.receive(event))
    services.nodeEvents.on('connectionLimit', (event) => services.egress.countRefused(event))
  }

  get directory(): SandboxDirectory {
    return this.#services.registry
  }

  get keys(): ApiKeyRepository {
    return this.#services.keys
  }

  get credentials(): EgressCredentials {
    const { secrets, identity } = this.#services
    return {
      secret: (teamId, name) => secrets.valueOf(teamId, name),
      identityToken: (owner, name) => identity.tokenFor(owner, name),
    }
  }

  get catalogProgress(): CatalogProgress {
    return this.#services.catalogProgress
  }

  async start(): Promise<void> {
    const { templates, uploads, templateBuilder, recover, nodeEvents, takeovers } = this.#services
    await templates.load()
    await uploads.prepare()
    await templateBuilder.recover()
    const { builds, runningBuilds } = await recover()
    nodeEvents.start()
    takeovers.start()
    await templates.loadBuiltIn(builds)
    for (const buildId of runningBuilds) await this.#node.cancelBuild(buildId, toErrorData(restarted()))
    this.#retention.start()
  }

  refuseNew(): void {
    this.#services.sandboxes.refuseNew()
    this.#services.egress.stopFollowing()
  }

  async close(timeoutMs = 5_000): Promise<void> {
    const { templateBuilder, takeovers, sandboxes, idempotency, nodeEvents, egress, store } = this.#services
    this.#retention.close()
    await templateBuilder.close(timeoutMs)
    takeovers.close()
    await sandboxes.drain(timeoutMs)
    await idempotency.settle(timeoutMs)
    nodeEvents.close()
    await egress.close()
    await this.fastify.close()
    await store.destroy()
  }

  async ensureDefaultTeam(known?: string): Promise<string> {
    const { store, keys } = this.#services
    const { teamId } = await ensureDefaultTeam(store)
    if (known && (await keys.findOwner(known))) return known
    return (await keys.create(teamId, 'default')).key
  }

  async newCatalogKey(): Promise<string> {
    const { store, keys, authenticator } = this.#services
    const { teamId } = await ensureCatalogTeam(store)
    for (const { id } of await keys.list(teamId)) await keys.delete(id)
    authenticator.forget()
    return (await keys.create(teamId, 'catalog')).key
  }
}

/** Reason given to builds that the last server had started; their rows are marked as failed. */
const restarted = (): SandlotError =>
  new SandlotError('server_draining', 'the server was restarted in the middle of the build')
