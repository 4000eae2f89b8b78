export { createEgress, type EgressOptions } from './egress.ts'
export { createHttpGate } from './http/gate.ts'
export { type EgressAuthority, openEgressAuthority } from './intercept/authority.ts'
export { createInterceptor } from './intercept/interceptor.ts'
