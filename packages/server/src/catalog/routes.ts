import { SandlotError } from '@sandlot/protocol'
import { buildCatalogTemplate, getCatalog, removeCatalogTemplate } from '@sandlot/protocol/rest'
import type { FastifyRequest } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'
import { CATALOG_TEAM_ID } from '../teams/repository.ts'
import type { TemplateRegistry } from '../templates/registry.ts'
import type { TemplateService } from '../templates/service.ts'
import type { CatalogProgress } from './progress.ts'

const MAX_SHOWN = 5

/** Builds and removes templates of the catalog; implemented by the `sandlot` package. */
export interface CatalogControl {
  /** Starts a build. @throws SandlotError not_found, conflict: the template exists, or is being built */
  build(name: string): void
  /**
   * Prevents a template from being built, also by later starts, until `build` is called. @throws SandlotError not_found
   */
  remove(name: string): void
}

export interface CatalogRoutesOptions {
  /** Absent: this server builds no catalog. */
  catalog: CatalogControl | undefined
  catalogProgress: CatalogProgress
  templates: TemplateRegistry
  templateService: TemplateService
}

/** Routes of `sandlot templates`: every caller sees the catalog, only the team that owns it changes it. */
export function catalogRoutes(app: App, options: CatalogRoutesOptions): void {
  app.get('/catalog', { schema: getCatalog }, get(options))
  app.post('/catalog/:name', { schema: buildCatalogTemplate }, build(options))
  app.delete('/catalog/:name', { schema: removeCatalogTemplate }, remove(options))
}

const get =
  ({ catalogProgress }: CatalogRoutesOptions): Handler<typeof getCatalog> =>
  async () =>
    catalogProgress.report()

const build =
  ({ catalog }: CatalogRoutesOptions): Handler<typeof buildCatalogTemplate> =>
  async (request, reply) => {
    checkAdministrator(request.caller)
    controlOf(catalog).build(request.params.name)
    return reply.code(202).send(null)
  }

const remove =
  (options: CatalogRoutesOptions): Handler<typeof removeCatalogTemplate> =>
  async (request) => {
    const { catalog, templates, templateService } = options
    checkAdministrator(request.caller)
    const { name } = request.params
    const { team } = request.caller
    const template = templates.find(name, team)
    const isBuilt = template?.teamId === team.teamId
    if (isBuilt) checkUnused(name, templateService.usersOf(template))
    // removed first, because a build that is cancelled below would otherwise be started again
    controlOf(catalog).remove(name)
    if (!isBuilt) return { wasThere: false, freedBytes: 0, neededBy: 0 }
    return { wasThere: true, ...(await templateService.purge(template)) }
  }

function checkUnused(name: string, users: LiveSandbox[]): void {
  if (users.length === 0) return
  const shown = users.slice(0, MAX_SHOWN).map(({ sandboxId, state }) => `${sandboxId} (${state})`)
  const more = users.length > MAX_SHOWN ? ` and ${users.length - MAX_SHOWN} more` : ''
  throw new SandlotError(
    'conflict',
    `'${name}' cannot be removed while sandboxes of it run or are paused: ${shown.join(', ')}${more}. Kill them first; snapshots and templates that were made from it do not matter`,
  )
}

function checkAdministrator({ team }: FastifyRequest['caller']): void {
  if (team.teamId !== CATALOG_TEAM_ID)
    throw new SandlotError(
      'forbidden',
      "only the administrator of this server can change the catalog: use `sandlot templates` on the server's machine",
    )
}

function controlOf(catalog: CatalogControl | undefined): CatalogControl {
  if (!catalog) throw new SandlotError('not_implemented', 'this server builds no catalog')
  return catalog
}
