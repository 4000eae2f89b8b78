/**
 * What a sandbox may reach, as data. A new rule of egress starts here: the server makes policies of what requests ask for
 * in `packages/server/src/sandboxes/network-settings.ts`, and the node puts them in force in
 * `packages/node/src/network/firewall.ts` and `packages/egress`. Connections from the host always get in.
 *
 * An entry that allows beats one that denies, and what no entry names is allowed. Ranges that are closed to all sandboxes
 * stay closed (`blocked-ranges.ts`).
 */
export interface NetworkPolicy {
  /** IPv4 CIDR blocks. */
  allowRanges: string[]
  /**
   * Lower-case domain names, `*.` and a name for any depth below that name, or `*`. They hold for the ports 80 (Host
   * header) and 443 (SNI).
   */
  allowNames: string[]
  /** IPv4 CIDR blocks. */
  denyRanges: string[]
  /**
   * Resolvers for a sandbox with `allowNames`: IPv4 addresses, none for no DNS at all. Default: that of the host. Without
   * `allowNames` the field has no effect.
   */
  dnsServers?: string[]
  /** Headers that are set on requests, by domain as in `allowNames`, without `*`. Rules do not allow anything. */
  transforms?: Record<string, HeaderTransform>
  /** Proxy that TCP connections are made through. */
  proxy?: UpstreamProxy
}

/** Values of headers by name. They may contain placeholders (`placeholders.ts`). */
export type HeaderTransform = Record<string, string>

/** A SOCKS5 proxy. */
export interface UpstreamProxy {
  host: string
  port: number
  username?: string
  password?: string
  /** Speaks TLS with the proxy. */
  tls?: {
    /** Default: `host`. */
    serverName?: string
    /** PEM of authorities to trust instead of the host's. */
    caCert?: string
  }
}

export const ALL_RANGES = '0.0.0.0/0'

/** The policy of a sandbox that was created without rules. */
export const OPEN: NetworkPolicy = { allowRanges: [], allowNames: [], denyRanges: [] }
/** The policy of a machine for which none is given. */
export const CLOSED: NetworkPolicy = { allowRanges: [], allowNames: [], denyRanges: [ALL_RANGES] }

/** Whether a policy lets nothing out. */
export const isClosed = ({ allowRanges, allowNames, denyRanges }: NetworkPolicy): boolean =>
  denyRanges.includes(ALL_RANGES) && allowRanges.length === 0 && allowNames.length === 0

/** Whether connections must pass the node's proxy (`packages/egress`) because their names or contents matter. */
export const needsProxy = (policy: NetworkPolicy): boolean =>
  policy.allowNames.length > 0 || policy.proxy !== undefined || hasTransforms(policy)

/** Whether TLS of a sandbox is intercepted, so that it must trust the authority of the proxy. */
export const hasTransforms = ({ transforms }: NetworkPolicy): boolean =>
  Object.keys(transforms ?? {}).length > 0

/** A sandbox as seen from the node's network. */
export interface NetworkOwner {
  sandboxId: string
  /** Whose secrets the placeholders of its rules refer to. */
  teamId: string
}
