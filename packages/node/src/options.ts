import type { BuildResources, VolumeDirectories } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { KeepLimits } from './builder/garbage.ts'
import type { ArchiveSource } from './images/archive-source.ts'
import type { OpenEgress } from './network/open-egress.ts'
import type { RemoteStore } from './objects/sealed-store.ts'

export interface NodeOptions {
  /** Folder of this instance, absolute. */
  home: string
  runscPath: string
  runscVersion: string
  /** Folder that contains only the `envd` binary. */
  guestDir: string
  /** EROFS image of the base template and its content key. */
  baseImage: { path: string; key: string }
  /** Limits of the base template. */
  resources: BuildResources
  networkRange: string
  /** Resolver for sandboxes. Default: that of the host. */
  dns?: string
  /** Private ranges that sandboxes may reach. */
  allowedRanges?: string[]
  /** Maximum of concurrent outgoing connections of one sandbox. */
  maxConnections: number
  /** Proxy and resolver for policies with names, transforms or a proxy. Absent: such policies are refused. */
  openEgress?: OpenEgress
  /** Whether connections of all sandboxes are reported, not only of those with rules. Default false. */
  recordEgress?: boolean
  /** Volumes that can be mounted into machines. Absent: mounts are refused. */
  volumes?: VolumeDirectories
  /**
   * Users of this machine that the kernels of sandboxes run as: `own` each, or `root` in user namespaces, which volumes need
   * whose file system cannot map ids. Default `own`
   */
  sandboxUsers?: 'own' | 'root'
  maxSlots: number
  poolMin: number
  poolMax: number
  /** No warm machine is started when MemAvailable would fall below this. */
  memoryFloorMB: number
  /** Space that sandboxes must leave free on the disk of `home`, at most a twentieth of it: see DiskGuard. */
  diskFloorMB: number
  /** How long a paused sandbox stays frozen in memory beside its checkpoint. */
  hotPauseMs: number
  /** Bytes of checkpoints kept unpacked beside their packed copies. */
  unpackedBytes: number
  /** Store that packed checkpoints are copied to. Absent: checkpoints are only on this machine. */
  remoteCheckpoints?: RemoteStore
  /** Bytes of packed checkpoints to keep on this machine once they are in the remote store. Default: all. */
  packedCacheBytes?: number
  /** Path of the program `imager`, which makes images in separate machines; the program must be alone in its folder. */
  imagerPath: string
  /** Registries that may have private addresses: `host:port`, or `host` for 443 and 80. */
  allowedRegistries?: string[]
  /** Folder for builds of catalog templates, which all instances on this machine share. */
  sharedBuildsDir: string
  /** How long checkpoints and machines must stay unlisted by the database before they are deleted. */
  unlistedGraceMs: number
  /** Source of the archives of COPY steps. */
  archives: ArchiveSource
  /** Resolves when no create is waiting; awaited before steps of background builds. Default: at once. */
  quiet?: (signal: AbortSignal) => Promise<void>
  /** Limits of cached layers and images, which make later builds faster. */
  buildCache: KeepLimits
  logger: Logger
}
