export type * from '@sandlot/protocol/directory'
export { type KeyStore, type KeySummary, openKeyStore, withCatalogKey } from './api-keys/key-store.ts'
export type {
  CatalogEntry,
  CatalogEstimate,
  CatalogProgress,
  CatalogReport,
} from './catalog/progress.ts'
export type { CatalogControl } from './catalog/routes.ts'
export type { ClientPackage } from './client-packages/client-package.ts'
export { type ControlPlane, createServer } from './control-plane.ts'
export type { McpEndpoint, McpRequest } from './mcp/endpoint.ts'
export type { ControlPlaneOptions } from './options.ts'
export type { SecretsKeySource } from './secrets/key-source.ts'
export { needsOtherKey, type Reencrypted, reencryptSecrets } from './secrets/reencrypt.ts'
export { createLoginLink } from './sessions/login-link.ts'
export { type CopyProgress, type CopySummary, copyStore } from './store/copy.ts'
export { type Lease, leaseHolder, takeLease } from './store/lease.ts'
export { checkStore, kindOf, openStore, type Store } from './store/open-store.ts'
export { parseStoreUrl, withoutPassword } from './store/store-url.ts'
export { openTakeoverImport, type TakeoverImport, type TakeoverRows } from './takeover/import.ts'
export { type ListedTemplate, listTemplates } from './templates/template-list.ts'
