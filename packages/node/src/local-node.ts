import { SandlotError } from '@sandlot/protocol'
import type {
  AcquireOptions,
  ArchiveCheckOptions,
  BuildJob,
  CheckpointInfo,
  DiffOptions,
  ErrorData,
  EventPosition,
  EventSubscription,
  ExportedBase,
  FileDiff,
  GarbageReport,
  KnownState,
  Machine,
  MachineInit,
  NetworkPolicy,
  PauseOptions,
  ReleasePlan,
  ResumeOptions,
  SandboxNode,
  SentEvent,
  SnapshotBuild,
  SnapshotOptions,
  VolumeMount,
} from '@sandlot/protocol/node'
import { hasTransforms } from '@sandlot/protocol/node'
import { assembleNode, type NodeParts } from './assemble.ts'
import { planRelease, releaseTemplate } from './builder/release.ts'
import { NodeJoin, toBuildInfo } from './join.ts'
import { nodeCapacity } from './machines/capacity.ts'
import type { LiveMachine } from './machines/machine.ts'
import type { NodeOptions } from './options.ts'
import { Session } from './session.ts'
import { createBaseExporter } from './takeover/export-base.ts'
import { collectUnlisted } from './unlisted/unlisted-data.ts'
import { Upkeep } from './upkeep.ts'

/** Longest wait for envd in a health check, enough on a busy machine. */
const GUEST_ANSWER_TIMEOUT_MS = 5_000

/** A node with gVisor on this machine. The first `join` creates the base build if it is missing. */
export class LocalNode implements SandboxNode {
  readonly #parts: NodeParts
  readonly #session = new Session()
  readonly #upkeep: Upkeep
  readonly #join: NodeJoin
  readonly #exportBase: (checkpointId: string) => Promise<ExportedBase | undefined>

  private constructor(parts: NodeParts) {
    this.#parts = parts
    this.#upkeep = new Upkeep(parts)
    this.#join = new NodeJoin(parts, this.#session, this.#upkeep)
    // the machine of a paused sandbox ends without a call of the control plane
    parts.machines.onGone((machineId) => this.#session.forgetMachine(machineId))
    this.#exportBase = createBaseExporter(parts.tiers, parts.options.remoteCheckpoints)
  }

  static async open(options: NodeOptions): Promise<LocalNode> {
    return new LocalNode(await assembleNode(options))
  }

  join = (known: KnownState) => this.#join.join(known)

  subscribe(after: EventPosition | undefined, receive: (sent: SentEvent) => void): EventSubscription {
    return this.#parts.events.subscribe(after, receive)
  }

  async acknowledge(position: EventPosition): Promise<void> {
    this.#parts.events.acknowledge(position)
  }

  async capacity() {
    const { home, resources } = this.#parts.options
    return nodeCapacity(home, resources)
  }

  async builds() {
    return [...this.#parts.builds.values()].map(toBuildInfo)
  }

  async status(machineId: string) {
    return this.#parts.machines.status(machineId)
  }

  async acquire(
    buildId: string,
    { owner, sandboxId, network: policy, volumes = [] }: AcquireOptions,
  ): Promise<Machine> {
    const { network, startable, pool, machines, onError } = this.#parts
    const { id } = this.#session
    network.firewall.check(policy)
    if (startable.has(buildId)) {
      await startable.prepare(buildId)
      // opened on demand, because each lane has a cost and most snapshots are never used
      if (startable.has(buildId) && !pool.has(buildId)) pool.open(buildId)
    }
    let machine = await pool.take(buildId, { owner })
    while (!machines.isAlive(machine)) {
      machines.end(machine.machineId).catch(onError)
      machine = await pool.take(buildId, { owner })
    }
    await machines.claim(machine, policy, { sandboxId, teamId: owner })
    const { machineId } = machine
    await this.#mountAll(machine, volumes)
    this.#giveTo(id, machineId)
    return { machineId, buildId, address: machine.slot.address }
  }

  /** @throws what `MachineVolumes.align` throws; the machine is ended */
  async #mountAll(machine: LiveMachine, volumes: readonly VolumeMount[]): Promise<void> {
    try {
      await this.#parts.volumes.align(machine, volumes)
    } catch (error) {
      void this.#parts.machines.discard(machine.machineId)
      throw error
    }
  }

  async mountVolume(machineId: string, volume: VolumeMount): Promise<void> {
    await this.#parts.volumes.mount(this.#runningMachine(machineId), volume)
  }

  async unmountVolume(machineId: string, path: string): Promise<boolean> {
    return this.#parts.volumes.unmount(this.#runningMachine(machineId), path)
  }

  /** @throws SandlotError conflict when the requesting process is gone; the machine is ended */
  #giveTo(sessionId: string | undefined, machineId: string): void {
    try {
      this.#session.checkStill(sessionId)
      this.#session.addMachine(machineId)
    } catch (error) {
      void this.#parts.machines.discard(machineId)
      throw error
    }
  }

  async init(machineId: string, init: MachineInit): Promise<void> {
    const { machines } = this.#parts
    const machine = machines.get(machineId)
    if (!machine) throw new SandlotError('sandbox_create_failed', `machine '${machineId}' is gone`)
    await Promise.all([
      machine.policyInForce,
      machine.guest.post('/init', {
        ...init,
        timestamp: new Date().toISOString(),
        caBundle: this.#caBundleFor(machine.network),
      }),
      machines.use(machine),
    ])
  }

  async setNetwork(
    machineId: string,
    policy: NetworkPolicy,
    { closeExisting }: { closeExisting?: boolean } = {},
  ): Promise<void> {
    const machine = this.#runningMachine(machineId)
    // a guest that does not answer must not delay its policy
    const trusting = this.#installTrust(machine, policy)
    await this.#parts.machines.setPolicy(machine, policy, { closeExisting })
    await trusting
  }

  /** Lets a running guest trust the proxy, for a policy that may be its first with transforms. Failures are logged. */
  async #installTrust(machine: LiveMachine, policy: NetworkPolicy): Promise<void> {
    const caBundle = this.#caBundleFor(policy)
    if (caBundle === undefined || machine.isFrozen) return
    await machine.guest.post('/trust', { caBundle }).catch(this.#parts.onError)
  }

  #caBundleFor(policy: NetworkPolicy): string | undefined {
    return hasTransforms(policy) ? this.#parts.egress?.caBundle() : undefined
  }

  async stop(machineId: string): Promise<void> {
    this.#parts.frozenMachines.claim(machineId)
    await this.#parts.machines.end(machineId)
    this.#session.forgetMachine(machineId)
  }

  async isGuestHealthy(machineId: string): Promise<boolean> {
    const { machines } = this.#parts
    const machine = machines.get(machineId)
    if (!machine || machine.isFrozen) return true
    return machine.guest.waitUntilHealthy(GUEST_ANSWER_TIMEOUT_MS).then(
      () => true,
      // the disk guard may have stalled the machine meanwhile
      () => machine.isFrozen || !machines.isAlive(machine),
    )
  }

  async pause(machineId: string, checkpointId: string, options: PauseOptions): Promise<CheckpointInfo> {
    const { guard, network, persistence } = this.#parts
    const machine = this.#liveMachine(machineId)
    const save = () => persistence.pause(machine, checkpointId, options)
    return this.#session.saving(checkpointId, () =>
      guard.release(machine, () => network.release(machine, save)).then(toInfo),
    )
  }

  async snapshot(
    machineId: string,
    checkpointId: string,
    options: SnapshotOptions,
  ): Promise<CheckpointInfo & { stoppedMs: number }> {
    const machine = this.#liveMachine(machineId)
    const { stoppedMs, ...saved } = await this.#session.saving(checkpointId, () =>
      this.#parts.persistence.snapshot(machine, checkpointId, options),
    )
    return { ...toInfo(saved), stoppedMs }
  }

  async resume(checkpointId: string, options: ResumeOptions) {
    const { id } = this.#session
    this.#parts.network.firewall.check(options.network)
    const resumed = await this.#parts.persistence.resume(checkpointId, options)
    this.#giveTo(id, resumed.machineId)
    return resumed
  }

  async thaw(machineId: string): Promise<void> {
    const { network, machines, volumes } = this.#parts
    network.firewall.check()
    const machine = this.#liveMachine(machineId)
    await Promise.all([machines.thaw(machine), machines.use(machine)])
    const { wantedVolumes } = machine
    machine.wantedVolumes = undefined
    if (wantedVolumes) await volumes.align(machine, wantedVolumes, { skipsMissing: true })
  }

  /** @throws SandlotError not_found */
  #runningMachine(machineId: string): LiveMachine {
    const machine = this.#liveMachine(machineId)
    // the machine of a paused sandbox; what a guard has stalled runs again soon
    if (machine.isEnding || (machine.isFrozen && !machine.state.isStalled))
      throw new SandlotError('not_found', `machine '${machineId}' does not run`)
    return machine
  }

  #liveMachine(machineId: string): LiveMachine {
    const machine = this.#parts.machines.get(machineId)
    if (!machine) throw new SandlotError('not_found', `machine '${machineId}' is gone`)
    return machine
  }

  checkpoints = async () => [...(await this.#parts.tiers.list())]

  describe = async (checkpointId: string) => toInfo(await this.#parts.tiers.describe(checkpointId))

  diff(fromId: string, toId: string, options?: DiffOptions): Promise<FileDiff> {
    return this.#parts.diffs.diff(fromId, toId, options)
  }

  async cancelDiff(operationId: string): Promise<void> {
    this.#parts.diffs.cancel(operationId)
  }

  async collectGarbage(isDryRun: boolean): Promise<GarbageReport> {
    if (!isDryRun) await collectUnlisted(this.#parts.unlisted, { isAsked: true })
    return this.#parts.tiers.collectGarbage(isDryRun)
  }

  storageOf = (checkpointIds: readonly string[]) => this.#parts.tiers.usage(checkpointIds)

  async removeCheckpoint(checkpointId: string): Promise<void> {
    const { removeCheckpoint, unlisted } = this.#parts
    await removeCheckpoint(checkpointId)
    this.#session.forgetCheckpoint(checkpointId)
    await unlisted.checkpoints.forget(checkpointId)
  }

  async dropLocalCheckpoint(checkpointId: string): Promise<void> {
    await this.#parts.tiers.dropLocal(checkpointId)
    this.#session.forgetCheckpoint(checkpointId)
  }

  exportBase = (checkpointId: string) => this.#exportBase(checkpointId)

  async addBuild(build: SnapshotBuild): Promise<void> {
    const { tiers, startable, pool } = this.#parts
    await tiers.describe(build.checkpointId)
    startable.add(build)
    if (!startable.isTemplate(build.buildId)) return
    pool.open(build.buildId)
    // a new build is likely to be used soon
    pool.expect(build.buildId)
  }

  async removeBuild(buildId: string): Promise<void> {
    const { startable, pool, machines, onError } = this.#parts
    startable.remove(buildId)
    for (const machine of pool.shut(buildId)) machines.end(machine.machineId).catch(onError)
  }

  async startBuild(job: BuildJob): Promise<void> {
    this.#session.addCheckpoint(job.checkpointId)
    this.#parts.buildRuns.start(job)
  }

  async cancelBuild(buildId: string, reason: ErrorData): Promise<void> {
    this.#parts.buildRuns.cancel(buildId, reason)
  }

  async continueBuild(buildId: string): Promise<void> {
    this.#parts.buildRuns.proceed(buildId)
  }

  checkArchive(key: string, checkOptions: ArchiveCheckOptions): Promise<void> {
    const { archiveChecks, options } = this.#parts
    return options.archives.use(key, (path) => archiveChecks.check(path, checkOptions))
  }

  planRelease(checkpointIds: readonly string[]): Promise<ReleasePlan> {
    return planRelease(this.#parts, checkpointIds)
  }

  releaseTemplate(plan: ReleasePlan) {
    const { machines } = this.#parts
    // warm machines are not counted, as their checkpoints are, and prepared kernels contain no image
    const imagesInUse = () =>
      [...machines.all()]
        .filter(({ isEnding, isWarm }) => !isEnding && !isWarm)
        .map(({ imagePath }) => imagePath)
    return releaseTemplate({ ...this.#parts, imagesInUse }, plan)
  }

  async close(): Promise<void> {
    const {
      buildRuns,
      pool,
      frozenMachines,
      prepared,
      slots,
      network,
      egress,
      tiers,
      layers,
      machines,
      volumes,
    } = this.#parts
    this.#upkeep.close()
    await buildRuns.close()
    pool.close()
    frozenMachines.close()
    await prepared.close()
    slots.close()
    network.close()
    await Promise.all([egress?.close(), tiers.close(), layers.close()])
    await machines.settle()
    await volumes.close()
    for (const machine of machines.all()) machine.guest.close()
  }
}

/** Returns the public part of a manifest, without local paths. */
const toInfo = ({
  checkpointId,
  hasMemory,
  sizeBytes,
  createdAtMs,
  resources,
  engineVersion,
}: CheckpointInfo): CheckpointInfo => ({
  checkpointId,
  hasMemory,
  sizeBytes,
  createdAtMs,
  resources,
  engineVersion,
})
