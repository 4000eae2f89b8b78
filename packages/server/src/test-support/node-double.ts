import { EventEmitter } from 'node:events'
import { SandlotError } from '@sandlot/protocol'
import type {
  AcquireOptions,
  BuildEnvironment,
  BuildJob,
  BuildResult,
  ExportedBase,
  FileDiff,
  KnownState,
  MachineInit,
  MachineSample,
  NetworkPolicy,
  NodeEvents,
  ResumeOptions,
  SandboxNode,
  SnapshotBuild,
  SnapshotOptions,
} from '@sandlot/protocol/node'

/** A node without machines, for tests of rows and rules. The real one is under tests/. */
export class NodeDouble implements SandboxNode {
  readonly machines = new Map<string, MachineInit | undefined>()
  /** What each machine may reach, of all that were ever started. */
  readonly policies = new Map<string, NetworkPolicy>()
  readonly emitter = new EventEmitter<NodeEvents>()
  /** How many of the next calls fail. */
  failInit = 0
  failStop = 0
  /** Machines whose kernel dies during `init`. */
  dieInInit = 0
  /** Awaited before a machine is handed out, and before one is stopped. */
  acquiring: Promise<void> | undefined
  stopping: Promise<void> | undefined
  acquireCalls = 0
  stops = 0
  /** Of each machine that was asked for, the team. */
  readonly owners: string[] = []
  /** Builds that machines were asked for of, or checkpoints. */
  readonly acquired: string[] = []
  #next = 0

  capacity = () => ({ cpuCount: 8, memoryMB: 16_384, diskSizeMB: 102_400 })
  builds = () => [
    { buildId: 'b1', name: 'base', defaultUser: 'user', cpuCount: 2, memoryMB: 1024, diskSizeMB: 10240 },
  ]
  /** Checkpoints on its disk, and machines it holds frozen. */
  readonly saved = new Set<string>()
  readonly frozen = new Set<string>()
  readonly teamBuilds = new Map<string, SnapshotBuild>()
  /** Checkpoints that do not start any more. */
  readonly damaged = new Set<string>()
  /** How many of the next saves or resumes fail. */
  failSave = 0
  failResume = 0
  /** Awaited in the middle of a save. */
  saving: Promise<void> | undefined
  resumes = 0

  /** Checkpoints that are in the bucket, with what they need; and those that were left to another machine. */
  readonly carried = new Map<string, ExportedBase>()
  readonly left: string[] = []
  carry = async (checkpointId: string) => this.carried.get(checkpointId)
  leaveCheckpoint = async (checkpointId: string) => {
    this.left.push(checkpointId)
    this.saved.delete(checkpointId)
  }

  checkpoints = async () => new Set(this.saved)
  describe = async (checkpointId: string) => this.#infoOf(checkpointId)
  /** Checkpoints and machines that the last start did not list. */
  readonly unlisted = new Set<string>()
  /** What it was last started with. */
  known: KnownState | undefined
  async start(known: KnownState) {
    const { inUse, frozen, ended, checkpoints, builds } = known
    this.known = known
    this.unlisted.clear()
    for (const id of this.saved) if (!checkpoints.has(id)) this.unlisted.add(id)
    for (const [id, init] of this.machines) {
      if (inUse.has(id) || frozen.has(id)) continue
      // a sandbox runs in it, and no row says that it is to end
      if (init && !ended.has(id)) this.unlisted.add(id)
      else this.machines.delete(id)
    }
    for (const build of builds) this.teamBuilds.set(build.buildId, build)
    return new Set([...inUse.keys()].filter((id) => this.machines.has(id)))
  }
  /** Awaited before a build is added. */
  addingBuild: Promise<void> | undefined
  async addBuild(build: SnapshotBuild) {
    await this.addingBuild
    this.teamBuilds.set(build.buildId, build)
  }
  /** What each build was asked for, and what the next ones do; absent: they succeed at once. */
  readonly builtJobs: BuildJob[] = []
  builtEnvironment: BuildEnvironment = { defaultUser: 'user', envVars: {} }
  building: ((job: BuildJob) => Promise<void>) | undefined
  async buildTemplate(job: BuildJob): Promise<BuildResult> {
    this.builtJobs.push(job)
    await this.building?.(job)
    const checkpoint = await this.#save(job.checkpointId)
    return { checkpoint, environment: this.builtEnvironment }
  }
  /** Checkpoints of templates that were removed with all that their builds left. */
  readonly released: string[] = []
  releaseTemplate = async (checkpointIds: readonly string[]) => async () => {
    this.released.push(...checkpointIds)
    return { freedBytes: 1000, neededBy: 0 }
  }
  removeBuild = (buildId: string) => void this.teamBuilds.delete(buildId)
  async #save(checkpointId: string) {
    await this.saving
    if (this.failSave-- > 0) throw new SandlotError('disk_full', 'there is no room')
    this.saved.add(checkpointId)
    return this.#infoOf(checkpointId)
  }
  #infoOf(checkpointId: string) {
    const resources = { cpuCount: 2, memoryMB: 1024, diskSizeMB: 10240 }
    return { checkpointId, hasMemory: true, sizeBytes: 1000, createdAtMs: 0, resources, engineVersion: 'v' }
  }
  /** Machines whose envd does not answer. */
  readonly unresponsive = new Set<string>()
  isGuestHealthy = async (machineId: string) => !this.unresponsive.has(machineId)
  async pause(machineId: string, checkpointId: string) {
    const info = await this.#save(checkpointId)
    this.frozen.add(machineId)
    return info
  }
  /** What each was saved with. */
  readonly snapshots = new Map<string, SnapshotOptions>()
  async snapshot(_machineId: string, checkpointId: string, options: SnapshotOptions) {
    this.snapshots.set(checkpointId, options)
    return { ...(await this.#save(checkpointId)), stoppedMs: 1 }
  }
  async resume(checkpointId: string, { hasMemory, machineId, owner, network }: ResumeOptions) {
    this.resumes++
    if (this.failResume-- > 0) throw new SandlotError('sandbox_capacity_unavailable', 'no memory')
    if (!this.saved.has(checkpointId)) throw new SandlotError('not_found', 'no such checkpoint')
    if (this.damaged.has(checkpointId)) throw new SandlotError('checkpoint_damaged', 'a bit flipped')
    if (machineId && hasMemory && this.frozen.has(machineId))
      return { machineId, buildId: 'b1', address: '10.0.0.2', how: 'hot' as const }
    const machine = await this.acquire(checkpointId, { owner, network })
    return { ...machine, how: hasMemory ? ('restored' as const) : ('booted' as const) }
  }
  async thaw(machineId: string) {
    this.frozen.delete(machineId)
  }
  checkArchive = async () => {}
  diff = async (from: string, to: string): Promise<FileDiff> => ({
    added: [`${from} ${to}`],
    changed: [],
    deleted: [],
  })
  collectGarbage = async () => ({ chunks: 2, bytes: 20, keptChunks: 1, keptBytes: 10 })
  storageOf = async () => ({ logicalBytes: 0, storedBytes: 0, sharedBytes: 0, checkpoints: {} })
  removeCheckpoint = async (checkpointId: string): Promise<void> => {
    this.saved.delete(checkpointId)
  }
  async acquire(buildId: string, { owner, network }: AcquireOptions) {
    this.acquireCalls++
    this.owners.push(owner)
    this.acquired.push(buildId)
    await this.acquiring
    const machineId = `m${this.#next++}`
    this.machines.set(machineId, undefined)
    this.policies.set(machineId, network)
    return { machineId, buildId, address: '10.0.0.2' }
  }
  async init(machineId: string, init: MachineInit) {
    if (this.failInit-- > 0) throw new SandlotError('sandbox_create_failed', 'it broke')
    if (this.dieInInit-- > 0) this.machines.delete(machineId)
    else this.machines.set(machineId, init)
  }
  async stop(machineId: string) {
    this.stops++
    await this.stopping
    if (this.failStop-- > 0) throw new SandlotError('operation_timeout', 'it hangs')
    this.machines.delete(machineId)
  }
  addressOf = (machineId: string) => (this.machines.has(machineId) ? '10.0.0.2' : undefined)
  on<E extends keyof NodeEvents>(event: E, listener: (...args: NodeEvents[E]) => void) {
    this.emitter.on(event, listener as never)
  }
  close = async () => {}

  /** What envd of each live machine was told. */
  inits = () => [...this.machines.values()]
  firstMachine = () => [...this.machines.keys()][0]!
  sample = (machineId: string, timestampMs: number, cpuUsedPct = 0): MachineSample => ({
    machineId,
    timestampMs,
    cpuCount: 2,
    cpuUsedPct,
    memUsed: 1,
    memTotal: 2 ** 30,
    memCache: 0,
    diskUsed: 3,
    diskTotal: 10 * 2 ** 30,
  })
}
