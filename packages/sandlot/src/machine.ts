import { dirname, join } from 'node:path'
import {
  ensureBaseImage,
  FolderArchives,
  LocalNode,
  type ObjectStore,
  type RemoteStore,
  sealBucket,
  type TaggedStore,
} from '@sandlot/node'
import { DAY_MS, type EgressCredentials } from '@sandlot/protocol'
import type { SandboxNode, VolumeDirectories } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { bucketSecrets } from './bucket-key.ts'
import type { Config } from './config.ts'
import { openEgress } from './egress.ts'
import { withLock } from './kernel-lock.ts'
import { labRegistries } from './lab-registries.ts'
import type { Progress } from './progress.ts'
import type { Settings } from './settings.ts'
import type { Programs } from './setup/index.ts'
import { runscVersion } from './setup/runsc.ts'

/** Longest time to make the base image; a concurrent set-up waits this long for the first one. */
const IMAGE_TIMEOUT_MS = 30 * 60_000

export interface MachineInputs {
  config: Config
  programs: Programs
  progress: Progress
  logger: Logger
  bucket: Bucket | undefined
  /** Folder of the archives for COPY steps, by key. */
  archivesDir: string
  /** Absent: machines have no volumes. */
  volumes?: VolumeDirectories
  /** What header values of network rules refer to. */
  credentials: EgressCredentials
  /** Resolves when no request is waiting for a sandbox. */
  quiet: (signal: AbortSignal) => Promise<void>
}

/** The bucket that checkpoints are copied to. All objects are sealed with this server's key. */
export interface Bucket {
  checkpoints: RemoteStore
  /** Store for records of paused sandboxes, which are sealed before they get here. */
  records: ObjectStore & TaggedStore
}

/** Creates the image that sandboxes of the base template boot from, unless it exists. */
export async function prepareBaseImage(
  { settings }: Config,
  progress: Progress,
): Promise<{ path: string; key: string }> {
  let baseImage = { path: '', key: '' }
  await progress.step('base image', async (step) => {
    const waiting = () => step.update('waiting for another set-up that is making the image')
    baseImage = await withLock(join(settings.cache, 'images.lock'), IMAGE_TIMEOUT_MS, waiting, () =>
      ensureBaseImage({
        cacheDir: settings.cache,
        nodeBinary: process.execPath,
        extraCaCertificates: settings.extraCaCertificates,
        progress: (message) => step.update(message),
      }),
    )
    return `${baseImage.key.slice(0, 12)} ready`
  })
  return baseImage
}

/** Opens this machine as a node, and creates the base image when it is missing. */
export async function createMachine({
  config,
  programs,
  progress,
  logger,
  bucket,
  archivesDir,
  volumes,
  credentials,
  quiet,
}: MachineInputs): Promise<SandboxNode> {
  const { settings } = config
  const [baseImage, lab] = await Promise.all([
    prepareBaseImage(config, progress),
    labRegistries(settings.packageRegistries),
  ])
  if (lab.length > 0)
    logger.info({ addresses: lab }, 'sandboxes reach the package registries of this lab (packageRegistries)')
  return LocalNode.open({
    home: settings.home,
    runscPath: programs.runsc,
    runscVersion: await runscVersion(programs.runsc),
    guestDir: dirname(programs.envd),
    baseImage,
    resources: { cpuCount: settings.cpuCount, memoryMB: settings.memoryMB, diskSizeMB: settings.diskSizeMB },
    networkRange: settings.networkRange,
    dns: settings.dns || undefined,
    allowedRanges: [...settings.allowedRanges, ...lab],
    maxConnections: settings.sandboxConnections,
    recordEgress: settings.recordEgress,
    openEgress: (host) => openEgress({ home: settings.home, credentials, logger }, host),
    sandboxUsers: settings.sandboxUsers,
    maxSlots: settings.slots,
    poolMin: settings.poolMin,
    poolMax: settings.poolMax,
    memoryFloorMB: settings.poolMemoryFloorMB,
    diskFloorMB: settings.diskFloorMB,
    hotPauseMs: settings.hotPauseSeconds * 1000,
    unpackedBytes: settings.unpackedCheckpointsMB * 2 ** 20,
    remoteCheckpoints: bucket?.checkpoints,
    packedCacheBytes: settings.packedCacheMB > 0 ? settings.packedCacheMB * 2 ** 20 : undefined,
    imagerPath: programs.imager,
    allowedRegistries: settings.allowedRegistries,
    sharedBuildsDir: join(settings.cache, 'catalogue'),
    unlistedGraceMs: settings.unlistedGraceDays * DAY_MS,
    archives: new FolderArchives(archivesDir),
    volumes,
    quiet,
    buildCache: buildCacheLimits(settings),
    logger,
  })
}

/** Opens the bucket of the settings. Loads the AWS SDK on demand, as loading takes 0.2 s. */
export async function openBucket(settings: Settings): Promise<Bucket | undefined> {
  if (settings.checkpointBucket === '') return undefined
  const { S3Store } = await import('@sandlot/node/objects/s3-store')
  const records = new S3Store({
    bucket: settings.checkpointBucket,
    endpoint: settings.checkpointEndpoint || undefined,
    region: settings.checkpointRegion,
    prefix: settings.checkpointPrefix || undefined,
  })
  return { records, checkpoints: sealBucket(records, bucketSecrets(settings)) }
}

export const buildCacheLimits = ({ buildCacheDays, buildCacheGB }: Settings) => ({
  maxAgeMs: buildCacheDays * DAY_MS,
  maxBytes: buildCacheGB * 2 ** 30,
})
