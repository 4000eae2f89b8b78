import { join } from 'node:path'
import { createEgress, openEgressAuthority } from '@sandlot/egress'
import { type Egress, type EgressCredentials, type EgressHost, SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'

/** Credentials of a control plane that is created after the node which needs them. */
export class LateCredentials implements EgressCredentials {
  #credentials: EgressCredentials | undefined

  connect(credentials: EgressCredentials): void {
    this.#credentials = credentials
  }

  secret: EgressCredentials['secret'] = (teamId, name) => this.#connected().secret(teamId, name)

  identityToken: EgressCredentials['identityToken'] = (owner, name) =>
    this.#connected().identityToken(owner, name)

  /** @throws SandlotError secrets_unavailable: a sandbox of an earlier start was faster than this start */
  #connected(): EgressCredentials {
    if (this.#credentials) return this.#credentials
    throw new SandlotError('secrets_unavailable', 'the server is starting', { retryAfterSeconds: 2 })
  }
}

export interface EgressInputs {
  home: string
  credentials: EgressCredentials
  logger: Logger
}

/** Starts the proxy and the resolver for a node. */
export async function openEgress(
  { home, credentials, logger }: EgressInputs,
  host: EgressHost,
): Promise<Egress> {
  const authority = await openEgressAuthority(join(home, 'ca'))
  return createEgress({
    log: logger,
    ...{ credentials, authority },
    dns: [host.dns],
    dnsListen: { address: host.dnsAddress, port: 0 },
    closedRanges: host.closedRanges,
    allowedRanges: host.allowedRanges,
    hostNetworks: host.hostNetworks,
    sandboxRange: host.sandboxRange,
    maxConnections: host.maxConnections,
  })
}
