import { isIP } from 'node:net'
import type { FastifyRequest } from 'fastify'

/** Ports of this server, as known from the request and the settings. */
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
 * Tells whether a page on a subdomain can set a cookie for this host: plain HTTP has no `__Host-` cookies. IP addresses and
 * names of one label (`localhost`) have no subdomains that browsers let set one.
 */
export function isCookieSafe({ host }: FastifyRequest): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return isIP(name) !== 0 || !name.includes('.')
}

/**
 * Address that the CLI stores for this server: on this machine the address that the browser used, otherwise the server's
 * own domain. A forged Host header is never stored.
 * @param domain of the server, with its port
 */
export function publicOrigin({ protocol, host }: FastifyRequest, domain: string): string {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  return name === 'localhost' || isIP(name) !== 0 ? `${protocol}://${host}` : `https://${domain}`
}
