import type { SandboxNode, TakeoverRecords } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { BuildLimits } from './builds/service.ts'
import type { CatalogControl } from './catalog/routes.ts'
import type { ClientPackage } from './client-packages/client-package.ts'
import type { Store } from './store/open-store.ts'

export interface ControlPlaneOptions {
  /** Open, with tables of this version; the control plane closes it. */
  store: Store
  /** Home whose sandboxes `node` runs, for databases that several homes share. Default: the only one of its database. */
  nodeId?: string
  node: SandboxNode
  /** Folder for the files that templates are built from. */
  uploadsDir: string
  /** How many bytes may be written to the disk of `uploadsDir` before sandboxes are stalled. Default: all that are free. */
  roomBytes?: () => number
  builds: BuildLimits
  /** Builds the templates of the catalog. Default: none are built. */
  catalog?: CatalogControl
  /** What clients append to sandbox host names; may hold a port. */
  domain: string
  /** Ports that this server listens on. Default: only those that `domain` and requests name. */
  ownPorts?: readonly number[]
  /** Refuses sandboxes without an access token, which clients 1.x ask for. Default false. */
  requireSecure?: boolean
  /** Address of the administrator, the only user that signs in. Default `admin@` and the domain without its port. */
  adminEmail?: string
  /** Descriptions of the templates that come with this server, by name. Default: none. */
  templateDescriptions?: Record<string, string>
  /** Packages that `GET /npm/<file>` answers with, by file name. Default: none. */
  clientPackages?: Record<string, ClientPackage>
  /** Opens the records of paused sandboxes in a bucket, with which other machines take sandboxes over. Default: none. */
  records?: (instanceId: string) => TakeoverRecords
  logger: Logger
  /** How long events and the rows of killed sandboxes are kept. Default 7 days. */
  retentionMs?: number
  now?: () => number
}
