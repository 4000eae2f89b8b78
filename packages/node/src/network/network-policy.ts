import type { NetworkPolicy } from '../node.ts'

export const OPEN: NetworkPolicy = { allowInternetAccess: true }
/** What holds wherever no policy is given. */
export const CLOSED: NetworkPolicy = { allowInternetAccess: false }
