import { createServer } from 'node:net'
import { SandlotError } from '@sandlot/protocol'
import type { ListenAddress } from './config.ts'
import { describePortOwner } from './port-owner.ts'

/**
 * Tries to listen on the addresses, before the slow part of a start.
 * @returns the hosts that can be used: a machine without IPv6 has no `::1`
 * @throws SandlotError conflict that names the process on the port, or invalid_request for an address of another machine
 */
export async function checkListen(
  { hosts, port }: ListenAddress,
  flag: 'listen' | 'sandbox-listen' = 'listen',
): Promise<string[]> {
  const usable: string[] = []
  for (const host of hosts) {
    const code = await tryListen(host, port)
    if (code === undefined) usable.push(host)
    else if (code === 'EADDRINUSE') {
      const owner = describePortOwner(port)
      throw new SandlotError(
        'conflict',
        `port ${port} on ${host} is in use${owner ? ` by ${owner}` : ''}. End that process, or choose another port: --${flag} 127.0.0.1:${port + 1}`,
      )
    } else if (usable.length === 0 || hosts.length === 1) {
      const reason =
        code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
          ? 'is not an address of this machine'
          : `cannot be used (${code})`
      throw new SandlotError(
        'invalid_request',
        `listen address ${host}:${port} ${reason}. Use one that \`ip address\` shows, or 0.0.0.0 for all.`,
      )
    }
  }
  return usable
}

function tryListen(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen({ host, port, ipv6Only: true }, () => server.close(() => resolve(undefined)))
  })
}
