import { EventEmitter } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type {
  MachineExit,
  MachineSample,
  NodeEvents,
  SandboxNode,
  SnapshotBuild,
} from '@sandlot/protocol/node'
import { type Build, buildIdOf, contentKey, ensureBuild, removeStaleBuilds } from './builder/base-build.ts'
import { BootedBuilds } from './builder/booted-builds.ts'
import { Builder } from './builder/builder.ts'
import { Layers } from './builder/layers.ts'
import { releaseTemplate } from './builder/release.ts'
import { SharedBuilds } from './builder/shared-builds.ts'
import { Diffs } from './diff/diffs.ts'
import { GvisorDriver } from './engine/gvisor-driver.ts'
import { collectNodeGarbage } from './garbage.ts'
import { ArchiveChecks } from './images/archive-checks.ts'
import { ImagePuller } from './images/image-puller.ts'
import { ImageStore } from './images/image-store.ts'
import { namesFor } from './instance-names.ts'
import { Intervals } from './intervals.ts'
import { nodeCapacity } from './machines/capacity.ts'
import { Cgroups } from './machines/cgroups.ts'
import type { LiveMachine, MachineSource, StartOptions } from './machines/machine.ts'
import { Machines } from './machines/machines.ts'
import { PreparedKernels } from './machines/prepared-kernels.ts'
import { Sampler } from './machines/sampler.ts'
import { parseAddressRange } from './network/address-range.ts'
import { hostResolver } from './network/firewall.ts'
import { CLOSED, OPEN } from './network/network-policy.ts'
import { NodeNetwork } from './network/node-network.ts'
import { SlotPool } from './network/slots.ts'
import type { NodeOptions } from './options.ts'
import { PackedCheckpoints } from './packed/packed-checkpoints.ts'
import { CheckpointFolder } from './persistence/checkpoint-folder.ts'
import { CheckpointTiers } from './persistence/checkpoint-tiers.ts'
import { FrozenMachines } from './persistence/frozen-machines.ts'
import { Persistence } from './persistence/persistence.ts'
import { StartableCheckpoints } from './persistence/startable-checkpoints.ts'
import { OneTimeSources } from './pool/one-time-sources.ts'
import { RecentDemand } from './pool/recent-demand.ts'
import { StartPriority } from './pool/start-priority.ts'
import { WarmPool } from './pool/warm-pool.ts'
import { bytesToLeave } from './pressure/disk-guard.ts'
import { diskSpace } from './pressure/disk-space.ts'
import { memoryShortage } from './pressure/memory-shortage.ts'
import { createDiskGuard } from './pressure/node-disk-guard.ts'
import { AdoptedBases } from './takeover/adopted-bases.ts'
import { checkBasePlace } from './takeover/base-place.ts'
import { createBaseExporter } from './takeover/export-base.ts'
import { collectUnlisted, createUnlistedData, mentionUnlisted } from './unlisted/unlisted-data.ts'

const WATCH_INTERVAL_MS = 500
const SAMPLE_INTERVAL_MS = 5_000
const WARM_HEALTH_INTERVAL_MS = 30_000
const SPARES_INTERVAL_MS = 1_000
/** A sandbox that writes 4 GB a second gets past the default floor between two looks. */
const DISK_INTERVAL_MS = 250
const NETWORK_INTERVAL_MS = 5_000
const NETWORK_MEND_INTERVAL_MS = 1_000
const GARBAGE_INTERVAL_MS = 15 * 60_000
/** What builds leave of a disk where sandboxes have no floor. */
const MIN_SPARE_BYTES = 512 * 2 ** 20
/** A machine under load lets envd wait for its turn. */
const GUEST_ANSWER_TIMEOUT_MS = 5_000
/** Snapshots started from less often than this within 10 s are not kept in stock. */
const SELDOM = 1
const FALLBACK_RESOLVER = '1.1.1.1'
/** Owner of what is started for no team, e.g. a template that another runsc needs anew. */
const OWN_WORK = ''
/** Nobody's code is in them yet, and most sandboxes want it: a create then has nothing to change. */
const STOCK_OF_BASE = OPEN

/** One machine's sandboxes by gVisor. `start` makes the base build when it is missing. */
export async function createNode(options: NodeOptions): Promise<SandboxNode> {
  const { home, logger } = options
  const names = namesFor(home)
  const range = parseAddressRange(options.networkRange)
  const runDir = join(home, 'run')
  const buildsDir = join(home, 'builds')
  const checkpointsDir = join(home, 'checkpoints')
  const onError = (error: unknown) => logger.warn({ err: error }, 'node')
  const driver = new GvisorDriver({
    runscPath: options.runscPath,
    version: options.runscVersion,
    stateDir: join(runDir, 'runsc'),
  })
  const leftBytes = bytesToLeave(diskSpace(home), options.diskFloorMB * 2 ** 20)
  const spareBytes = Math.max(MIN_SPARE_BYTES, leftBytes)
  const cgroups = new Cgroups()
  const network = new NodeNetwork({
    ...{ names, range, runDir, onError },
    dns: options.dns ?? hostResolver() ?? FALLBACK_RESOLVER,
    allowedRanges: options.allowedRanges,
    maxConnections: options.maxConnections,
  })
  const { firewall, filters } = network
  const slots = new SlotPool({ names, range, maxSlots: options.maxSlots, filters, onError })
  const machines = new Machines({
    names,
    runDir,
    guestDir: options.guestDir,
    driver,
    cgroups,
    slots,
    firewall,
    onError,
  })
  const sampler = new Sampler(cgroups, driver)
  const events = new EventEmitter<NodeEvents>()
  const builds = new Map<string, Build>()
  const chores = new Intervals(onError)

  const oneTimeSources = new OneTimeSources<MachineSource>()
  const adopted = new AdoptedBases(join(home, 'adopted'))
  const folder = new CheckpointFolder(checkpointsDir, adopted, checkBasePlace)
  await folder.prepare()
  const packed = await PackedCheckpoints.open({
    dir: join(home, 'packed'),
    remote: options.remoteCheckpoints,
    cacheBytes: options.packedCacheBytes,
    logger,
  })
  const lull = new StartPriority()
  const cold = new CheckpointTiers({ folder, packed, unpackedBytes: options.unpackedBytes, lull, onError })
  const layersDir = join(home, 'layers')
  const packedLayers = await PackedCheckpoints.open({ dir: join(layersDir, 'packed'), logger })
  const layers = new Layers({ dir: layersDir, packed: packedLayers, onError })
  const booted = new BootedBuilds(join(home, 'booted'))
  const { baseImage, imagerPath, allowedRegistries = [], allowedRanges = [] } = options
  const archives = new ArchiveChecks(imagerPath)
  const imageMachines = { machines, start: startOnce, imagerPath }
  const puller = new ImagePuller({ ...imageMachines, baseImage, allowedRegistries, allowedRanges })
  const openImages = (dir: string) => new ImageStore({ dir, baseImage, spareBytes })
  const images = new ImageStore({ dir: join(home, 'images'), baseImage, spareBytes, puller })
  const shared = new SharedBuilds(options.sharedBuildsDir, images, openImages, onError)
  const hot = new FrozenMachines({
    keepMs: options.hotPauseMs,
    end: (machineId) => machines.end(machineId),
    onError,
  })

  const pool: WarmPool<LiveMachine> = new WarmPool<LiveMachine>({
    concurrency: availableParallelism(),
    start: startMachine,
    demandFor,
    maxStock: options.poolMax,
    isAlwaysInStock: (buildId) => builds.has(buildId),
    discard: (machine) => void machines.end(machine.machineId).catch(onError),
    shortage: () =>
      firewall.shortage() ??
      guard.shortage() ??
      (hot.size > 0 || pool.hasSpare ? undefined : shortOfMemory()),
    stockShortage: () => memoryShortage(options.memoryFloorMB),
    onError,
  })
  const guard = createDiskGuard({
    ...{ machines, driver, hot, cold, dir: runDir, floorMB: options.diskFloorMB },
    onStalled: ({ machineId }, reason) => void events.emit('stalled', { machineId, reason }),
    onError,
  })
  const prepared = new PreparedKernels({
    prepare: (kind) => machines.prepare(kind),
    guestDir: options.guestDir,
    isAlive: (machine) => machines.isAlive(machine),
    end: (machineId) => machines.end(machineId),
    shortage: () => firewall.shortage() ?? memoryShortage(options.memoryFloorMB),
    onError,
  })
  const persistence = new Persistence({
    checkpointsDir,
    folder,
    cold,
    machines,
    driver,
    cgroups,
    hot,
    start: startOnce,
    onError,
  })

  const diffs = new Diffs({
    ...{ runDir, folder, cold, machines, driver },
    async shortage(extraMB) {
      await makeRoom()
      return guard.shortage() ?? memoryShortage(options.memoryFloorMB + extraMB)
    },
  })

  const unlisted = createUnlistedData({
    ...{ home, graceMs: options.unlistedGraceMs, cold, machines, logger, onError },
    removeCheckpoint,
  })

  async function removeCheckpoint(checkpointId: string): Promise<void> {
    await cold.remove(checkpointId)
    await diffs.forget(checkpointId)
  }

  const envdKey = contentKey(join(options.guestDir, 'envd'))
  const builder = new Builder({
    ...{ layers, booted, images, shared, folder, cold, driver, envdKey, baseImage, ...imageMachines },
    guestDir: options.guestDir,
    spareBytes,
    checkSpace: (machine, hasMemory) => persistence.checkSpace(machine, hasMemory, leftBytes),
    sourceOf: (checkpointId) =>
      cold.use(checkpointId, async () => {
        const hasFiles = await folder.hasFiles(checkpointId)
        return (await persistence.sourceOf(checkpointId, checkpointId, !hasFiles)).source
      }),
  })

  const snapshots = new StartableCheckpoints({
    ...{ cold, persistence, engineVersion: driver.version },
    async renew(checkpointId, misfit) {
      logger.info({ checkpointId, reason: misfit }, 'a template is brought up anew')
      // whether it succeeds or not: its packed copy may be gone
      await builder.renew(checkpointId).finally(() => cold.seal(checkpointId))
    },
  })

  function demandFor(buildId: string): RecentDemand {
    const isBase = builds.has(buildId)
    return new RecentDemand({
      min: isBase ? options.poolMin : 0,
      max: options.poolMax,
      ignored: isBase || snapshots.isTemplate(buildId) ? 0 : SELDOM,
    })
  }

  function shortOfMemory(): SandlotError | undefined {
    const shortage = memoryShortage(options.memoryFloorMB)
    return shortage && mentionUnlisted(shortage, unlisted.machines.size)
  }

  /** Gives up a machine that nobody would miss. @returns false: there is none */
  const dropSpare = async () =>
    (await prepared.dropOldest()) || (await dropStock()) || (await hot.dropOldest())

  async function dropStock(): Promise<boolean> {
    const machine = pool.takeSpare()
    if (machine) await machines.end(machine.machineId)
    return machine !== undefined
  }

  /** Stock of templates, then paused sandboxes that are only held in memory go while memory is short. */
  async function makeRoom(): Promise<void> {
    while (memoryShortage(options.memoryFloorMB) && (await dropSpare()));
  }

  function startMachine(key: string, startOptions: StartOptions): Promise<LiveMachine> {
    const start = () => startFrom(key, startOptions)
    return startOptions.isUrgent ? lull.during(start) : start()
  }

  async function startFrom(key: string, startOptions: StartOptions): Promise<LiveMachine> {
    await makeRoom()
    if (snapshots.has(key)) return snapshots.start(key, (source) => startWhenFree(source, startOptions))
    const base = builds.get(key)
    const source: MachineSource | undefined = base
      ? { ...base, network: STOCK_OF_BASE }
      : oneTimeSources.get(key)
    if (!source) throw new SandlotError('not_found', `'${key}' was deleted`)
    const start = () => startWhenFree(source, startOptions)
    return source.checkpointId ? cold.use(source.checkpointId, start) : start()
  }

  async function startWhenFree(source: MachineSource, startOptions: StartOptions): Promise<LiveMachine> {
    try {
      const isAwaitedRestore = startOptions.isUrgent && source.checkpointDir !== undefined
      return await machines.start(source, {
        ...startOptions,
        prepared: isAwaitedRestore ? prepared.claim(source) : undefined,
      })
    } catch (error) {
      const isFull = error instanceof SandlotError && error.errorName === 'sandbox_capacity_unavailable'
      if (!isFull) throw error
      if (!(await dropSpare())) throw mentionUnlisted(error, unlisted.machines.size)
      await machines.settle()
      return machines.start(source, startOptions)
    }
  }

  async function startOnce(checkpointId: string, source: MachineSource): Promise<LiveMachine> {
    // its memory may be resumed while something else starts from its files
    const part = source.checkpointDir ? 'memory' : 'files'
    const key = `${checkpointId} ${part} ${JSON.stringify(source.network ?? CLOSED)}`
    const machine = await oneTimeSources.during(key, source, () =>
      pool.takeOnce(key, { owner: source.owner ?? OWN_WORK }),
    )
    await machines.claim(machine)
    return machine
  }

  async function addBuild(build: SnapshotBuild): Promise<void> {
    await cold.describe(build.checkpointId)
    snapshots.add(build)
    if (!snapshots.isTemplate(build.buildId)) return
    pool.open(build.buildId)
    // just built, so likely to be used
    pool.expect(build.buildId)
  }

  function liveMachine(machineId: string): LiveMachine {
    const machine = machines.get(machineId)
    if (!machine) throw new SandlotError('not_found', `machine '${machineId}' is gone`)
    return machine
  }

  function watch(): void {
    for (const machine of machines.all()) {
      if (machine.isEnding || machines.isAlive(machine)) continue
      const wasWarm = machine.isWarm
      if (wasWarm) pool.drop((other) => other === machine)
      const wasHot = hot.claim(machine.machineId) !== undefined
      machines.end(machine.machineId).catch(onError)
      if (!wasWarm && !wasHot)
        emitExit({ machineId: machine.machineId, reason: "the sandbox's kernel ended by itself" })
    }
  }

  function emitExit(exit: MachineExit): void {
    logger.warn(exit, 'machine exited')
    events.emit('exit', exit)
  }

  async function takeSamples(): Promise<void> {
    const used = [...machines.all()].filter((machine) => !machine.isWarm && !machine.isFrozen)
    if (used.length === 0) return
    const samples: MachineSample[] = await sampler.sample(used)
    if (samples.length > 0) events.emit('samples', samples)
  }

  /** Frozen machines and prepared kernels go by age, and while memory is short. */
  async function tendSpares(): Promise<void> {
    hot.dropOld()
    prepared.dropStale()
    await makeRoom()
  }

  async function tendPool(): Promise<void> {
    for (const machine of pool.surplus()) await machines.end(machine.machineId)
    for (const machine of pool.ready()) {
      if (machine.isFrozen) continue
      if (await machine.guest.isHealthy()) continue
      pool.drop((other) => other === machine)
      if (machine.isWarm) await machines.end(machine.machineId)
    }
    pool.refill()
  }

  return {
    capacity: () => nodeCapacity(home, options.resources),
    builds: () => [...builds.values()],

    checkpoints: () => cold.list(),
    describe: (checkpointId) => cold.describe(checkpointId),

    async start({ instanceId, inUse, frozen, ended, checkpoints, builds: known }) {
      await machines.prepareFolders()
      await diffs.prepare()
      await mkdir(buildsDir, { recursive: true, mode: 0o700 })
      const recipe = {
        name: 'base',
        imagePath: options.baseImage.path,
        keys: [options.baseImage.key, envdKey, options.guestDir, runDir],
        engineVersion: driver.version,
        defaultUser: 'user',
        ...options.resources,
      }
      const baseId = buildIdOf(recipe)
      const found = await machines.recover({ inUse, frozen, ended, buildIds: new Set([baseId]) })
      const { warm } = found
      for (const machine of warm) machine.network = STOCK_OF_BASE
      const held = new Set<string>()
      for (const [machineId, { checkpointId }] of frozen) {
        const machine = machines.get(machineId)
        if (!machine) continue
        persistence.holdFrozen(machine, checkpointId)
        held.add(checkpointId)
      }
      await unlisted.checkpoints.find(await cold.list(), (id) => checkpoints.has(id), instanceId)
      await unlisted.machines.find(found.unlisted, () => false, instanceId)
      await firewall.install([...machines.all()])
      await network.watch({
        ...{ machines, slots },
        onStalled: ({ machineId }, reason) => void events.emit('stalled', { machineId, reason }),
        onFault: (reason) => logger.error({ reason }, 'the firewall does not hold: machines stand still'),
        onMended: () => logger.warn('the firewall holds again: machines go on'),
      })
      const base = await ensureBuild(recipe, buildsDir, machines)
      builds.set(base.buildId, base)
      await removeStaleBuilds(buildsDir, new Set(builds.keys()))
      await layers.prepare()
      await booted.prepare()
      await images.prepare()
      for (const build of known) snapshots.add(build)
      await cold.recover(held)
      const alive = new Set(
        [...machines.all()].map(({ machineId }) => machineId).filter((id) => inUse.has(id)),
      )
      for (const machine of machines.all())
        if (machine.isFrozen && inUse.has(machine.machineId)) guard.adopt(machine)
      await guard.look()
      pool.open(base.buildId, warm)
      void snapshots.prepareTemplates(onError)
      chores.every(WATCH_INTERVAL_MS, watch)
      chores.every(SAMPLE_INTERVAL_MS, takeSamples)
      chores.every(NETWORK_INTERVAL_MS, () => network.tend())
      chores.every(NETWORK_MEND_INTERVAL_MS, () => network.mend())
      chores.every(SPARES_INTERVAL_MS, tendSpares)
      // it sets machines going, which must stand still while the firewall does not hold
      chores.every(DISK_INTERVAL_MS, () => (firewall.fault ? undefined : guard.look()))
      chores.every(WARM_HEALTH_INTERVAL_MS, tendPool)
      chores.every(GARBAGE_INTERVAL_MS, () =>
        collectNodeGarbage({
          ...{ unlisted, cold, layers, booted, images, adopted, shared, machines },
          limits: options.buildCache,
        }),
      )
      return alive
    },

    addBuild,
    async buildTemplate(job) {
      const result = await builder.build(job)
      cold.seal(job.checkpointId)
      return result
    },
    releaseTemplate: (checkpointIds) =>
      releaseTemplate(
        {
          ...{ layers, images, shared, cold },
          // stock is of a checkpoint, which counts itself, or of nothing yet
          imagesInUse: () =>
            [...machines.all()]
              .filter(({ isEnding, isWarm }) => !isEnding && !isWarm)
              .map(({ imagePath }) => imagePath),
        },
        checkpointIds,
      ),
    removeBuild(buildId) {
      snapshots.remove(buildId)
      for (const machine of pool.shut(buildId)) machines.end(machine.machineId).catch(onError)
    },

    async isGuestHealthy(machineId) {
      const machine = machines.get(machineId)
      if (!machine || machine.isFrozen) return true
      return machine.guest.waitUntilHealthy(GUEST_ANSWER_TIMEOUT_MS).then(
        () => true,
        // the disk guard may have stopped it meanwhile
        () => machine.isFrozen || !machines.isAlive(machine),
      )
    },
    async pause(machineId, checkpointId, { hasMemory }) {
      const machine = liveMachine(machineId)
      return guard.release(machine, () =>
        network.release(machine, () => persistence.pause(machine, checkpointId, hasMemory)),
      )
    },
    snapshot: (machineId, checkpointId, saveOptions) =>
      persistence.snapshot(liveMachine(machineId), checkpointId, saveOptions),
    async resume(checkpointId, resumeOptions) {
      firewall.check()
      return persistence.resume(checkpointId, resumeOptions)
    },
    async thaw(machineId) {
      firewall.check()
      const machine = liveMachine(machineId)
      await Promise.all([machines.thaw(machine), machines.use(machine)])
    },
    checkArchive: (file, owner) => archives.check(file, owner),
    diff: (fromId, toId, diffOptions) => diffs.diff(fromId, toId, diffOptions),
    async collectGarbage(isDryRun) {
      if (!isDryRun) await collectUnlisted(unlisted, { isAsked: true })
      return cold.collectGarbage(isDryRun)
    },
    storageOf: (checkpointIds) => cold.usage(checkpointIds),
    async removeCheckpoint(checkpointId) {
      await removeCheckpoint(checkpointId)
      await unlisted.checkpoints.forget(checkpointId)
    },
    leaveCheckpoint: (checkpointId) => cold.dropLocal(checkpointId),
    carry: createBaseExporter(cold, options.remoteCheckpoints),

    async acquire(buildId, { owner, network: policy }) {
      firewall.check()
      if (snapshots.has(buildId)) {
        await snapshots.prepare(buildId)
        // not before: each keeps an eye on its stock, and most are never used
        if (snapshots.has(buildId) && !pool.has(buildId)) pool.open(buildId)
      }
      let machine = await pool.take(buildId, { owner })
      while (!machines.isAlive(machine)) {
        machines.end(machine.machineId).catch(onError)
        machine = await pool.take(buildId, { owner })
      }
      await machines.claim(machine, policy)
      return { machineId: machine.machineId, buildId, address: machine.slot.address }
    },

    async init(machineId, init) {
      const machine = machines.get(machineId)
      if (!machine) throw new SandlotError('sandbox_create_failed', `machine '${machineId}' is gone`)
      await Promise.all([
        machine.guest.post('/init', { ...init, timestamp: new Date().toISOString() }),
        machines.use(machine),
      ])
    },

    async stop(machineId) {
      hot.claim(machineId)
      await machines.end(machineId)
    },

    addressOf: (machineId) => machines.get(machineId)?.slot.address,
    on: (event, listener) => void events.on(event, listener as never),

    async close() {
      chores.close()
      pool.close()
      hot.close()
      await prepared.close()
      slots.close()
      network.close()
      await Promise.all([cold.close(), layers.close()])
      await machines.settle()
      for (const machine of machines.all()) machine.guest.close()
    },
  }
}
