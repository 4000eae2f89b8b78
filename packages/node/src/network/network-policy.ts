import type { NetworkPolicy } from '@sandlot/protocol/node'

export const OPEN: NetworkPolicy = { allowInternetAccess: true }
/** The default policy. */
export const CLOSED: NetworkPolicy = { allowInternetAccess: false }
