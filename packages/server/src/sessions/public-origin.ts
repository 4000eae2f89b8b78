import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'

/**
 * Where the CLI finds this server later: on this machine as the browser found it, else at the server's own domain.
 * A Host header that somebody made up never ends up in what the CLI stores.
 * @param domain of the server, with its port
 */
export function publicOrigin({ protocol, host }: FastifyRequest, domain: string): string {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return name === 'localhost' || isIP(name) !== 0 ? `${protocol}://${host}` : `https://${domain}`
}
