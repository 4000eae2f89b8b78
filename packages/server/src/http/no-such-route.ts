import { SandlotError } from '@sandlot/protocol'
import type { FastifyRequest } from 'fastify'

/** Parts of E2B's API that this version lacks: a 404 would look as if only the volume were missing. */
const LATER: ReadonlyArray<[path: RegExp, what: string]> = [
  [/^\/events\/webhooks(\/|$)/, 'webhooks are'],
  [/^\/teams\/[^/]+\/metrics(\/|$)/, 'metrics of teams are'],
]

/** The error for a request with an unknown path or method. */
export function noSuchRoute({ method, url, headers, host }: FastifyRequest, domain: string): SandlotError {
  const path = url.split('?')[0]!
  const later = LATER.find(([pattern]) => pattern.test(path))
  if (later) return new SandlotError('not_implemented', `${later[1]} not part of this version of Sandlot yet`)
  const mend =
    headers['e2b-sandbox-id'] === undefined
      ? 'see /reference'
      : `sandboxes have host names of their own and do not answer at ${host.slice(0, 100)}: E2B_SANDBOX_URL must be unset or http://sandbox.${domain}`
  return new SandlotError('not_found', `there is no ${method} ${path.slice(0, 200)}; ${mend}`)
}
