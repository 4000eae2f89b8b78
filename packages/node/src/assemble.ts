import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { EventLog } from '@sandlot/protocol/node'
import { type Build, contentKey } from './builder/base-build.ts'
import { BootedBuilds } from './builder/booted-builds.ts'
import { BuildRuns } from './builder/build-runs.ts'
import { Builder } from './builder/builder.ts'
import { Layers } from './builder/layers.ts'
import { SharedBuilds } from './builder/shared-builds.ts'
import { Diffs } from './diff/diffs.ts'
import { GvisorDriver } from './engine/gvisor-driver.ts'
import { holdNames } from './held-names.ts'
import { ArchiveChecks } from './images/archive-checks.ts'
import { ImagePuller } from './images/image-puller.ts'
import { ImageStore } from './images/image-store.ts'
import { Cgroups } from './machines/cgroups.ts'
import { hostIdsFor } from './machines/host-ids.ts'
import type { LiveMachine } from './machines/machine.ts'
import { Machines } from './machines/machines.ts'
import { PreparedKernels } from './machines/prepared-kernels.ts'
import { Sampler } from './machines/sampler.ts'
import { parseAddressRange } from './network/address-range.ts'
import { hostResolver } from './network/host-resolver.ts'
import { NodeNetwork } from './network/node-network.ts'
import { CurrentHost, openEgress } from './network/open-egress.ts'
import { SlotPool } from './network/slots.ts'
import type { NodeOptions } from './options.ts'
import { PackedCheckpoints } from './packed/packed-checkpoints.ts'
import { CheckpointFolder } from './persistence/checkpoint-folder.ts'
import { CheckpointTiers } from './persistence/checkpoint-tiers.ts'
import { FrozenMachines } from './persistence/frozen-machines.ts'
import { Persistence } from './persistence/persistence.ts'
import { StartableCheckpoints } from './persistence/startable-checkpoints.ts'
import { MachineStarts } from './pool/machine-starts.ts'
import { StartPriority } from './pool/start-priority.ts'
import { WarmPool } from './pool/warm-pool.ts'
import { bytesToLeave } from './pressure/disk-guard.ts'
import { diskSpace } from './pressure/disk-space.ts'
import { memoryShortage } from './pressure/memory-shortage.ts'
import { createDiskGuard } from './pressure/node-disk-guard.ts'
import { AdoptedBases } from './takeover/adopted-bases.ts'
import { checkBasePlace } from './takeover/base-place.ts'
import { createUnlistedData } from './unlisted/unlisted-data.ts'
import { MachineVolumes } from './volumes/machine-volumes.ts'
import { openVolumeBindings } from './volumes/open-volume-bindings.ts'

/** Disk space that builds must leave free, at least. */
const MIN_SPARE_BYTES = 512 * 2 ** 20
const FALLBACK_RESOLVER = '1.1.1.1'

/** The connected parts of a node. */
export type NodeParts = Awaited<ReturnType<typeof assembleNode>>
type Host = Awaited<ReturnType<typeof openHost>>
type Storage = Awaited<ReturnType<typeof openStorage>>
type Starting = ReturnType<typeof openStarting>

/** Creates the parts of a node and connects them. Nothing runs before the first join. */
export async function assembleNode(options: NodeOptions) {
  const host = await openHost(options)
  const storage = await openStorage(options, host)
  const starting = openStarting(options, host, storage)
  const images = openImages(options, host, starting)
  const building = await openBuilding(options, host, storage, starting, images)
  const { removeCheckpoint, diffs } = openDiffs(options, host, storage, starting)
  const unlisted = createUnlistedData({
    home: options.home,
    graceMs: options.unlistedGraceMs,
    tiers: storage.tiers,
    machines: host.machines,
    logger: options.logger,
    onError: host.onError,
    removeCheckpoint,
  })
  starting.starts.connect({
    pool: starting.pool,
    prepared: starting.prepared,
    startable: building.startable,
    unlistedCount: () => unlisted.machines.size,
  })
  return {
    options,
    ...host,
    ...storage,
    ...starting,
    ...images,
    ...building,
    archiveChecks: new ArchiveChecks(options.imagerPath),
    diffs,
    removeCheckpoint,
    unlisted,
  }
}

/** Opens the resources of this host: engine, cgroups, network, and the machines that use them. */
async function openHost(options: NodeOptions) {
  const { home, logger } = options
  const names = await holdNames(home)
  const range = parseAddressRange(options.networkRange)
  const runDir = join(home, 'run')
  const onError = (error: unknown) => logger.warn({ err: error }, 'node')
  const driver = new GvisorDriver({
    runscPath: options.runscPath,
    version: options.runscVersion,
    stateDir: join(runDir, 'runsc'),
  })
  const cgroups = new Cgroups()
  const events = new EventLog(onError)
  const shared = {
    host: new CurrentHost(names),
    dns: options.dns ?? hostResolver() ?? FALLBACK_RESOLVER,
    allowedRanges: options.allowedRanges,
    maxConnections: options.maxConnections,
    onError,
  }
  const egress = await openEgress({ ...shared, range: range.cidr, open: options.openEgress })
  const network = new NodeNetwork({
    ...shared,
    names,
    range,
    runDir,
    egress,
    recordAll: options.recordEgress,
    emit: (event) => events.emit(event),
  })
  const { firewall, filters } = network
  const slots = new SlotPool({ names, range, maxSlots: options.maxSlots, filters, onError })
  const { guestDir } = options
  const hostIds = options.sandboxUsers === 'root' ? undefined : hostIdsFor(names.instance)
  const volumes = openVolumeBindings({ names, hostIds, directories: options.volumes, onError })
  const machines = new Machines({
    names,
    runDir,
    guestDir,
    driver,
    cgroups,
    slots,
    firewall,
    volumes,
    hostIds,
    onError,
  })
  return {
    runDir,
    onError,
    driver,
    cgroups,
    egress,
    network,
    slots,
    machines,
    volumes: new MachineVolumes(volumes, onError),
    sampler: new Sampler(cgroups, driver),
    events,
  }
}

/** Opens the tiers of checkpoints: unpacked, packed, and in the bucket. */
async function openStorage(options: NodeOptions, { onError }: Host) {
  const { home, logger } = options
  const checkpointsDir = join(home, 'checkpoints')
  const adopted = new AdoptedBases(join(home, 'adopted'))
  const folder = new CheckpointFolder(checkpointsDir, adopted, checkBasePlace)
  await folder.prepare()
  const packed = await PackedCheckpoints.open({
    dir: join(home, 'packed'),
    remote: options.remoteCheckpoints,
    cacheBytes: options.packedCacheBytes,
    logger,
  })
  const startPriority = new StartPriority()
  const tiers = new CheckpointTiers({
    folder,
    packed,
    unpackedBytes: options.unpackedBytes,
    startPriority,
    onError,
  })
  return { checkpointsDir, adopted, folder, startPriority, tiers }
}

/** Opens the warm pool and the other sources of machines, and the guards that free memory and disk space. */
function openStarting(
  options: NodeOptions,
  host: Host,
  { checkpointsDir, folder, tiers, startPriority }: Storage,
) {
  const { machines, network, driver, cgroups, volumes, onError } = host
  const { memoryFloorMB, poolMin, poolMax } = options
  const { firewall } = network
  const builds = new Map<string, Build>()
  const end = (machineId: string) => machines.end(machineId)
  const frozenMachines = new FrozenMachines({ keepMs: options.hotPauseMs, end, onError })
  const starts = new MachineStarts({
    machines,
    volumes,
    tiers,
    frozenMachines,
    startPriority,
    builds,
    poolMin,
    poolMax,
    memoryFloorMB,
  })
  const guard = openDiskGuard(options, host, tiers, frozenMachines)
  const pool = new WarmPool<LiveMachine>({
    concurrency: availableParallelism(),
    start: (key, startOptions) => starts.start(key, startOptions),
    demandFor: (buildId) => starts.demandFor(buildId),
    maxStock: poolMax,
    isAlwaysInStock: (buildId) => builds.has(buildId),
    discard: (machine) => void machines.end(machine.machineId).catch(onError),
    shortage: () => firewall.shortage() ?? guard.shortage() ?? starts.memoryShortage(),
    stockShortage: () => memoryShortage(memoryFloorMB),
    onError,
  })
  const prepared = new PreparedKernels({
    prepare: (kind) => machines.prepare(kind),
    guestDir: options.guestDir,
    isAlive: (machine) => machines.isAlive(machine),
    end,
    shortage: () => firewall.shortage() ?? memoryShortage(memoryFloorMB),
    onError,
  })
  const persistence = new Persistence({
    checkpointsDir,
    folder,
    tiers,
    machines,
    driver,
    cgroups,
    frozenMachines,
    start: (key, source) => starts.once(key, source),
    onError,
  })
  return { builds, frozenMachines, starts, guard, pool, prepared, persistence }
}

function openDiskGuard(
  { diskFloorMB }: NodeOptions,
  { machines, runDir, events, onError }: Host,
  tiers: CheckpointTiers,
  frozenMachines: FrozenMachines,
) {
  return createDiskGuard({
    machines,
    frozenMachines,
    tiers,
    dir: runDir,
    floorMB: diskFloorMB,
    onStalled: ({ machineId }, reason) => events.emit({ type: 'stalled', machineId, reason }),
    onError,
  })
}

/** Opens images that templates are built from, and builds that all instances on this machine share. */
function openImages(options: NodeOptions, { machines, onError }: Host, { starts }: Starting) {
  const { home, baseImage, imagerPath, allowedRegistries = [], allowedRanges = [] } = options
  const leftBytes = bytesToLeave(diskSpace(home), options.diskFloorMB * 2 ** 20)
  const spareBytes = Math.max(MIN_SPARE_BYTES, leftBytes)
  const start: typeof starts.once = (key, source) => starts.once(key, source)
  const imageMachines = { machines, start, imagerPath }
  const puller = new ImagePuller({ ...imageMachines, baseImage, allowedRegistries, allowedRanges })
  const openStore = (dir: string) => new ImageStore({ dir, baseImage, spareBytes })
  const images = new ImageStore({ dir: join(home, 'images'), baseImage, spareBytes, puller })
  const shared = new SharedBuilds(options.sharedBuildsDir, images, openStore, onError)
  return { leftBytes, spareBytes, imageMachines, images, shared }
}

type Images = ReturnType<typeof openImages>

/** Opens the template builder, and what starts machines from checkpoints. */
async function openBuilding(
  options: NodeOptions,
  { driver, events, onError }: Host,
  { folder, tiers }: Storage,
  { persistence }: Starting,
  { leftBytes, spareBytes, imageMachines, images, shared }: Images,
) {
  const { home, logger, baseImage, guestDir } = options
  const layersDir = join(home, 'layers')
  const packedLayers = await PackedCheckpoints.open({ dir: join(layersDir, 'packed'), logger })
  const layers = new Layers({ dir: layersDir, packed: packedLayers, onError })
  const booted = new BootedBuilds(join(home, 'booted'))
  const envdKey = contentKey(join(guestDir, 'envd'))
  const builder = new Builder({
    ...imageMachines,
    layers,
    booted,
    images,
    shared,
    folder,
    tiers,
    driver,
    envdKey,
    baseImage,
    guestDir,
    spareBytes,
    checkSpace: (machine, hasMemory) => persistence.checkSpace(machine, hasMemory, leftBytes),
    sourceOf: (checkpointId) =>
      tiers.use(checkpointId, async () => {
        const hasFiles = await folder.hasFiles(checkpointId)
        return (await persistence.sourceOf(checkpointId, checkpointId, !hasFiles)).source
      }),
  })
  const startable = new StartableCheckpoints({
    tiers,
    persistence,
    engineVersion: driver.version,
    async renew(checkpointId, reason) {
      logger.info({ checkpointId, reason }, 'a template is booted again')
      // also after a failure, because its packed copy may be gone
      await builder.renew(checkpointId).finally(() => tiers.seal(checkpointId))
    },
  })
  const buildRuns = new BuildRuns({
    archives: options.archives,
    quiet: options.quiet,
    emit: (event) => events.emit(event),
    async build(work) {
      const result = await builder.build(work)
      tiers.seal(work.checkpointId)
      return result
    },
  })
  return { layers, booted, envdKey, startable, buildRuns }
}

/** Opens comparisons of checkpoints, and the deletion of checkpoints together with cached comparisons. */
function openDiffs(
  { memoryFloorMB }: NodeOptions,
  { machines, driver, runDir }: Host,
  { folder, tiers }: Storage,
  { starts, guard }: Starting,
) {
  const diffs = new Diffs({
    runDir,
    folder,
    tiers,
    machines,
    driver,
    async shortage(extraMB) {
      await starts.makeRoom()
      return guard.shortage() ?? memoryShortage(memoryFloorMB + extraMB)
    },
  })
  async function removeCheckpoint(checkpointId: string): Promise<void> {
    await tiers.remove(checkpointId)
    await diffs.forget(checkpointId)
  }
  return { diffs, removeCheckpoint }
}
