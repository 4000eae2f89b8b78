export { type KeyStore, type KeySummary, openKeyStore } from './api-keys/key-store.ts'
export { type ControlPlane, type ControlPlaneOptions, createServer } from './control-plane.ts'
export type * from './directory.ts'
export { createLoginLink } from './sessions/login-link.ts'
