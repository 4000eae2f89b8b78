export { type KeyStore, type KeySummary, openKeyStore, withCatalogKey } from './api-keys/key-store.ts'
export type { ClientPackage } from './client-packages/routes.ts'
export { type ControlPlane, type ControlPlaneOptions, createServer } from './control-plane.ts'
export type * from './directory.ts'
export { type AdoptableRows, type Adoption, openAdoption } from './sandboxes/adoption.ts'
export { createLoginLink } from './sessions/login-link.ts'
export type {
  CatalogEntry,
  CatalogEstimate,
  CatalogProgress,
  CatalogReport,
} from './templates/catalog-progress.ts'
export type { CatalogControl } from './templates/catalog-routes.ts'
export { type ListedTemplate, listTemplates } from './templates/template-list.ts'
