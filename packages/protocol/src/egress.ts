import type { ConnectionRecord } from './node/connections.ts'
import type { NetworkOwner, NetworkPolicy } from './node/network.ts'

/**
 * The part of a node's way out that works in user space (`packages/egress`): a TCP proxy for connections whose names or
 * contents matter, and a DNS resolver. The firewall sends both to it; neither trusts a source address that the firewall
 * has not checked.
 */
export interface Egress {
  /** Where the firewall sends connections (TPROXY: the local address of an accepted socket is the destination). */
  readonly proxyPort: number
  /** Where the firewall sends DNS of sandboxes with names in their policy, over UDP and TCP. */
  readonly dns: { address: string; port: number }
  /**
   * In force for new connections and queries once it returns; replaces an earlier policy of this address.
   * @param address of the sandbox
   * @param closeExisting also cuts open connections that the new policy refuses
   */
  setPolicy(address: string, owner: NetworkOwner, policy: NetworkPolicy, closeExisting?: boolean): void
  /** Forgets a sandbox, and cuts its connections. Unknown addresses are ignored. */
  removePolicy(address: string): void
  /** PEM of the authorities that sandboxes whose policy has transforms must trust. */
  caBundle(): string
  /** Called for every connection that ends, HTTP request that is answered, and DNS query. */
  onRecord(listener: (record: ConnectionRecord) => void): void
  close(): Promise<void>
}

/** What the network of a node tells the part in user space. */
export interface EgressHost {
  /** Resolver that answers queries of sandboxes: an IPv4 address. */
  dns: string
  /** Address that the resolver for sandboxes must listen on; local to the host. */
  dnsAddress: string
  /** IPv4 CIDR blocks that no sandbox reaches, whatever its policy says. */
  closedRanges: string[]
  /** Exceptions from `closedRanges` and from networks of the host, set by an administrator. */
  allowedRanges: string[]
  /**
   * IPv4 addresses of the host and of sandboxes of other instances on it, which no exception opens, and the host's networks
   * as CIDR blocks, closed too. Returns one array until they change.
   */
  hostNetworks(): string[]
  /** IPv4 CIDR block of the addresses of sandboxes, which no exception opens. */
  sandboxRange: string
  /** Maximum of open connections of one sandbox. */
  maxConnections: number
}

/** What header values may refer to, as the control plane knows it. */
export interface EgressCredentials {
  /**
   * @param name lower-case
   * @returns undefined when the team has no such secret
   * @throws SandlotError secrets_unavailable
   */
  secret(teamId: string, name: string): Promise<string | undefined>
  /**
   * @param name of one of the sandbox's identity tokens
   * @returns a signed JWT that is valid for minutes; undefined when the sandbox has no such token
   */
  identityToken(owner: NetworkOwner, name: string): Promise<string | undefined>
}
