import type { NetworkPolicy } from '@sandlot/protocol/node'

export const OPEN: NetworkPolicy = { allowInternetAccess: true }
/** What holds wherever no policy is given. */
export const CLOSED: NetworkPolicy = { allowInternetAccess: false }
