import { SandlotError } from '@sandlot/protocol'

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Refuses requests of web pages, except pages of this server and of the user's own machine: others could reach this server
 * by a name of theirs (DNS rebinding). Pages of sandboxes have other hosts, and are refused too. Programs send no origin.
 *
 * @param domain domain of sandbox host names; may include a port
 * @throws SandlotError forbidden
 */
export function checkOrigin(origin: string | undefined, domain: string): void {
  if (origin === undefined) return
  const own = domain.replace(/:\d+$/, '').toLowerCase()
  const host = URL.parse(origin)?.hostname
  if (host !== undefined && (LOOPBACK.has(host) || host === own || host === `api.${own}`)) return
  throw new SandlotError(
    'forbidden',
    `pages of ${origin.slice(0, 100)} may not use this endpoint: pages of localhost, ${own} and api.${own} may`,
  )
}
