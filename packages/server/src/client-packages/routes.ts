import { readFile } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { ErrorSchema } from '@sandlot/protocol/rest'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import type { ClientPackage } from './client-package.ts'

export interface ClientPackageRoutesOptions {
  /** Packages by file name. */
  clientPackages: ReadonlyMap<string, ClientPackage>
}

/** The SDK and CLI that match this server, for `npm i http://<host>/npm/e2b.tgz`; nobody needs a key for them. */
export function clientPackageRoutes(app: App, { clientPackages }: ClientPackageRoutesOptions): void {
  app.get(
    '/npm/:file',
    {
      schema: {
        tags: ['npm'],
        summary: 'e2b.tgz or e2b-cli.tgz: the SDK or CLI that matches this server',
        security: [],
        params: Type.Object({ file: Type.String({ maxLength: 64 }) }),
        response: { 200: Type.Unsafe({ type: 'string', format: 'binary' }), '4xx': ErrorSchema },
      },
    },
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
      // the content of an address changes: caches may keep a copy, but must revalidate it
      reply.headers({ etag: `"${found.hash}"`, 'cache-control': 'public, no-cache' })
      if (request.headers['if-none-match']?.includes(`"${found.hash}"`)) return reply.code(304).send()
      return reply.type('application/gzip').send(await readFile(found.path))
    },
  )
}
