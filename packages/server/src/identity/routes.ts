import { getJsonWebKeys, getOpenIdConfiguration } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { IdentityService } from './service.ts'
import type { SigningKeys } from './signing-keys.ts'

/** Shorter than keys are published before they sign (`schedule.ts`). */
const MAX_AGE_SECONDS = 3600

export interface IdentityRoutesOptions {
  identity: IdentityService
  identityKeys: SigningKeys
}

/** Documents by which other services verify identity tokens of sandboxes; they are public. */
export function identityRoutes(app: App, options: IdentityRoutesOptions): void {
  app.get('/.well-known/openid-configuration', { schema: getOpenIdConfiguration }, getConfiguration(options))
  app.get('/.well-known/jwks.json', { schema: getJsonWebKeys }, getKeys(options))
}

const getConfiguration =
  ({ identity }: IdentityRoutesOptions): Handler<typeof getOpenIdConfiguration> =>
  async (_request, reply) => {
    reply.header('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
    return identity.configuration()
  }

const getKeys =
  ({ identityKeys }: IdentityRoutesOptions): Handler<typeof getJsonWebKeys> =>
  async (_request, reply) => {
    const keys = await identityKeys.published()
    reply.header('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
    return { keys: keys as Array<Required<(typeof keys)[number]> & Record<string, never>> }
  }
