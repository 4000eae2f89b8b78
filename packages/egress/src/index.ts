export { createEgress, type EgressOptions } from './egress.ts'
export { type EgressAuthority, openEgressAuthority } from './intercept/authority.ts'
