/**
 * What a sandbox may reach. A new rule of egress starts here: the node puts policies in force in
 * `packages/node/src/network/firewall.ts`, the server makes them of what a create asks for in
 * `packages/server/src/sandboxes/settings.ts`. Connections from the host always get in.
 */
export interface NetworkPolicy {
  /** DNS, and every address that is not blocked for all sandboxes. */
  allowInternetAccess: boolean
}

export const OPEN: NetworkPolicy = { allowInternetAccess: true }
/** The policy of a machine for which none is given. */
export const CLOSED: NetworkPolicy = { allowInternetAccess: false }
