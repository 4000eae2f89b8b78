import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'

/** Ports that this server has, as far as a request and its settings tell. */
export function ownPortsOf(
  { protocol, host, socket }: FastifyRequest,
  domain: string,
  known: readonly number[],
): ReadonlySet<number> {
  const ports = [...known, portOf(`${protocol}://${host}`), portOf(`https://${domain}`), socket.localPort]
  return new Set(ports.filter((port) => port !== undefined))
}

function portOf(origin: string): number | undefined {
  if (!URL.canParse(origin)) return undefined
  const { port, protocol } = new URL(origin)
  return port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
}

/**
 * Whether a page below the same name can set a cookie for it: over plain HTTP there is no `__Host-`. Addresses and
 * names of one label (`localhost`) have nothing below them that browsers let set one.
 */
export function isCookieSafe({ host }: FastifyRequest): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return isIP(name) !== 0 || !name.includes('.')
}

/**
 * Where the CLI finds this server later: on this machine as the browser found it, else at the server's own domain.
 * A Host header that somebody made up never ends up in what the CLI stores.
 * @param domain of the server, with its port
 */
export function publicOrigin({ protocol, host }: FastifyRequest, domain: string): string {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return name === 'localhost' || isIP(name) !== 0 ? `${protocol}://${host}` : `https://${domain}`
}
