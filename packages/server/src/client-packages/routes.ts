import { readFile } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { getClientPackage } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { ClientPackage } from './client-package.ts'

export interface ClientPackageRoutesOptions {
  /** Packages by file name. */
  clientPackages: ReadonlyMap<string, ClientPackage>
}

/** Serves the SDK and CLI that match this server without a key, for `npm i http://<host>/npm/e2b.tgz`. */
export function clientPackageRoutes(app: App, options: ClientPackageRoutesOptions): void {
  app.get('/npm/:file', { schema: getClientPackage }, get(options))
}

const get =
  ({ clientPackages }: ClientPackageRoutesOptions): Handler<typeof getClientPackage> =>
  async (request, reply) => {
    const { file } = request.params
    const found = clientPackages.get(file)
    if (!found)
      throw new SandlotError(
        'not_found',
        `there is no package '${file}' here; there is ${[...clientPackages.keys()].join(' and ') || 'none'}`,
      )
    if ('missing' in found)
      throw new SandlotError(
        'not_found',
        `${file} was not made when this server was set up: ${found.missing}`,
      )
    // the URL stays when the content changes: caches may keep the file, but must revalidate it
    reply.headers({ etag: `"${found.hash}"`, 'cache-control': 'public, no-cache' })
    if (request.headers['if-none-match']?.includes(`"${found.hash}"`)) return reply.code(304).send(null)
    return reply.type('application/gzip').send(await readFile(found.path))
  }
