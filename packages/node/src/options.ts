import type { BuildResources } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { KeepLimits } from './builder/garbage.ts'
import type { ArchiveSource } from './images/archive-source.ts'
import type { RemoteStore } from './objects/sealed-store.ts'

export interface NodeOptions {
  /** Folder of this instance, absolute. */
  home: string
  runscPath: string
  runscVersion: string
  /** Folder that holds the `envd` binary and nothing else. */
  guestDir: string
  /** EROFS image of the base template and its content key. */
  baseImage: { path: string; key: string }
  /** Limits of the base template. */
  resources: BuildResources
  networkRange: string
  /** Resolver for sandboxes; default the host's own. */
  dns?: string
  /** Private ranges that sandboxes may reach all the same. */
  allowedRanges?: string[]
  /** Connections that one sandbox may have outward at a time. */
  maxConnections: number
  maxSlots: number
  poolMin: number
  poolMax: number
  /** No warm machine is started when MemAvailable would fall below. */
  memoryFloorMB: number
  /** What sandboxes leave free of the disk that `home` lies on, at most a twentieth of it: see DiskGuard. */
  diskFloorMB: number
  /** How long a paused sandbox stays frozen in memory beside its checkpoint. */
  hotPauseMs: number
  /** Bytes of checkpoints kept unpacked beside their packed copies. */
  unpackedBytes: number
  /** Where packed checkpoints also go; absent: this machine only. */
  remoteCheckpoints?: RemoteStore
  /** Bytes of packed checkpoints kept here once they are in the remote store. Default: all. */
  packedCacheBytes?: number
  /** The program `imager`, alone in its folder: it makes images, in machines of its own. */
  imagerPath: string
  /** Registries that are reached although their addresses are private: `host:port`, or `host` for 443 and 80. */
  allowedRegistries?: string[]
  /** Folder for what is built of the catalogue, which all instances of this machine share. */
  sharedBuildsDir: string
  /** How long a database must go on not listing what is here before it is deleted. */
  unlistedGraceMs: number
  /** Where the archives of COPY steps come from. */
  archives: ArchiveSource
  /** Resolves in a moment when nobody waits for a sandbox: steps of background builds wait for it. Default: at once. */
  quiet?: (signal: AbortSignal) => Promise<void>
  /** What builds leave behind to be faster the next time. */
  buildCache: KeepLimits
  logger: Logger
}
