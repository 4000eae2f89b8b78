import type { SandboxNode, TakeoverRecords, VolumeStorage } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { BuildLimits } from './builds/service.ts'
import type { CatalogControl } from './catalog/routes.ts'
import type { ClientPackage } from './client-packages/client-package.ts'
import type { McpEndpoint } from './mcp/endpoint.ts'
import type { SecretsKeySource } from './secrets/key-source.ts'
import type { Store } from './store/open-store.ts'

export interface ControlPlaneOptions {
  /** Open, with tables of this version; the control plane closes it. */
  store: Store
  /**
   * Id of the home whose sandboxes `node` runs, for databases that several homes share. Default: the database's only
   * home.
   */
  nodeId?: string
  node: SandboxNode
  /** Folder for the files that templates are built from. */
  uploadsDir: string
  /** Bytes that can be written to the disk of `uploadsDir` before sandboxes are frozen. Default: all free bytes. */
  roomBytes?: () => number
  builds: BuildLimits
  /** Builds the templates of the catalog. Default: none are built. */
  catalog?: CatalogControl
  /** Domain of sandbox host names; may include a port. */
  domain: string
  /** Ports that this server listens on. Default: those in `domain` and in the Host headers of requests. */
  ownPorts?: readonly number[]
  /** Refuses to create sandboxes without an access token, as clients 1.x do. Default false. */
  requireSecure?: boolean
  /** IPv4 CIDR blocks that sandboxes may reach although they are private. Default: none. */
  allowedRanges?: readonly string[]
  /** Address of the administrator, the only user that signs in. Default `admin@` and the domain without its port. */
  adminEmail?: string
  /** Descriptions of the templates that come with this server, by name. Default: none. */
  templateDescriptions?: Record<string, string>
  /** Packages that `GET /npm/<file>` serves, by file name. Default: none. */
  clientPackages?: Record<string, ClientPackage>
  /** Answers MCP clients at `/mcp`. Default: none, and `/mcp` is unknown. */
  mcp?: McpEndpoint
  /** Opens the records of paused sandboxes in a bucket, by which other machines take sandboxes over. Default: none. */
  records?: (instanceId: string) => TakeoverRecords
  /** Keys that secrets are encrypted with. Default: none, and secrets answer 503. */
  secretsKeys?: SecretsKeySource
  /** Volumes of this host. Default: none, and requests for volumes answer 403. */
  volumes?: VolumeStorage
  /** How long deleted volumes can be restored. Default 24 hours. */
  volumeTrashMs?: number
  logger: Logger
  /** How long events and the rows of killed sandboxes are kept. Default 7 days. */
  retentionMs?: number
  now?: () => number
}
