import type { NetworkPolicy } from '@sandlot/protocol/node'

export const OPEN: NetworkPolicy = { allowInternetAccess: true }
/** The default wherever no policy is given. */
export const CLOSED: NetworkPolicy = { allowInternetAccess: false }
