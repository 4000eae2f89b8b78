import { BuildFailure, SandlotError } from '@sandlot/protocol'
import {
  type AcquireOptions,
  type BuildEnvironment,
  type BuildInfo,
  type BuildJob,
  type BuildLogLine,
  type BuildOutcome,
  type BuildResult,
  type DiffOptions,
  type ErrorData,
  EventLog,
  type EventPosition,
  type ExportedBase,
  type FileDiff,
  fromErrorData,
  type Joined,
  type KnownState,
  type MachineInit,
  type MachineSample,
  type NetworkPolicy,
  type PauseOptions,
  type ReleasePlan,
  type ResumeOptions,
  type SandboxNode,
  type SentEvent,
  type SnapshotBuild,
  type SnapshotOptions,
  toErrorData,
  type VolumeMount,
} from '@sandlot/protocol/node'

const RESOURCES = { cpuCount: 2, memoryMB: 1024, diskSizeMB: 10240 }
const BASE: BuildInfo = { buildId: 'b1', name: 'base', defaultUser: 'user', ...RESOURCES }
const ADDRESS = '10.0.0.2'

/** A running build of the double, which tests can control. */
export interface DoubleBuild extends BuildJob {
  log: (line: BuildLogLine) => void
  signal: AbortSignal
  /** Reports that the build is waiting, then that it is ready, and waits for `continueBuild`. */
  wait: () => Promise<void>
}

interface BuildRun {
  abort: AbortController
  isRunning: boolean
  proceed?: () => void
}

/**
 * A node without machines, for tests of rows and rules. Passes the contract suite like the real node (node.contract.ts).
 */
export class NodeDouble implements SandboxNode {
  readonly machines = new Map<string, MachineInit | undefined>()
  /** Network policy of every machine that was ever started. */
  readonly policies = new Map<string, NetworkPolicy>()
  /** Volumes of every machine that was ever started. */
  readonly volumes = new Map<string, readonly VolumeMount[]>()
  /** Ids of volumes that do not exist. */
  readonly missingVolumes = new Set<string>()
  readonly events = new EventLog((error) => {
    throw error
  })
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
  /** Team of each machine that was asked for. */
  readonly owners: string[] = []
  /** Build or checkpoint of each machine that was asked for. */
  readonly acquired: string[] = []
  #next = 0
  /** Session of each machine that was handed out. */
  readonly #sessions = new Map<string, string | undefined>()
  /** Checkpoints that were saved in this session. */
  readonly #savedNow = new Set<string>()

  capacity = async () => ({ cpuCount: 8, memoryMB: 16_384, diskSizeMB: 102_400 })
  builds = async () => [BASE]
  status = async (machineId: string) =>
    this.machines.has(machineId) ? { machineId, address: ADDRESS } : undefined
  /** Checkpoints on the node's disk. */
  readonly saved = new Set<string>()
  readonly frozen = new Set<string>()
  readonly teamBuilds = new Map<string, SnapshotBuild>()
  /** Checkpoints that cannot be started any more. */
  readonly damaged = new Set<string>()
  /** How many of the next saves or resumes fail. */
  failSave = 0
  failResume = 0
  /** Awaited in the middle of a save. */
  saving: Promise<void> | undefined
  resumes = 0

  /** Checkpoints that are in the bucket, with the files that they need. */
  readonly carried = new Map<string, ExportedBase>()
  readonly left: string[] = []
  exportBase = async (checkpointId: string) => this.carried.get(checkpointId)
  dropLocalCheckpoint = async (checkpointId: string) => {
    this.left.push(checkpointId)
    this.saved.delete(checkpointId)
  }

  subscribe = (after: EventPosition | undefined, receive: (sent: SentEvent) => void) =>
    this.events.subscribe(after, receive)
  acknowledge = async (position: EventPosition) => this.events.acknowledge(position)
  /** Sends no more events to the subscriber, as if the server's process were gone. */
  disconnect(): void {
    this.events.subscribe(undefined, () => {}).close()
  }
  /** Lets the kernel of a machine die. */
  kill(machineId: string, reason = "the sandbox's kernel ended by itself"): void {
    this.machines.delete(machineId)
    this.frozen.delete(machineId)
    this.events.emit({ type: 'exit', machineId, reason })
  }

  checkpoints = async () => [...this.saved]
  describe = async (checkpointId: string) => {
    this.#checkSaved(checkpointId)
    return this.#infoOf(checkpointId)
  }
  /** Checkpoints and machines that the last join did not list. */
  readonly unlisted = new Set<string>()
  /** Argument of the last join. */
  known: KnownState | undefined
  async join(known: KnownState): Promise<Joined> {
    const isSame = known.sessionId === this.known?.sessionId
    if (!isSame) this.#savedNow.clear()
    this.known = known
    this.unlisted.clear()
    for (const id of this.saved)
      if (!known.checkpoints.includes(id) && !this.#savedNow.has(id)) this.unlisted.add(id)
    const listed = new Set([...known.inUse, ...known.frozen].map(({ machineId }) => machineId))
    for (const { machineId, network } of [...known.inUse, ...known.frozen])
      this.policies.set(machineId, network)
    if (!isSame) for (const { machineId } of known.inUse) this.frozen.delete(machineId)
    for (const [id, init] of this.machines) {
      const isOfSession = isSame && this.#sessions.get(id) === known.sessionId
      if (known.ended.includes(id)) this.#end(id)
      else if (listed.has(id)) this.#sessions.set(id, known.sessionId)
      else if (isOfSession) continue
      // a sandbox runs in the machine, and no row says that it should end
      else if (init && !this.frozen.has(id)) {
        this.unlisted.add(id)
        this.#sessions.delete(id)
      } else this.#end(id)
    }
    for (const build of known.builds) this.teamBuilds.set(build.buildId, build)
    const alive = known.inUse.filter(({ machineId }) => this.machines.has(machineId))
    return {
      alive: alive.map(({ machineId }) => ({ machineId, address: ADDRESS })),
      capacity: await this.capacity(),
      builds: await this.builds(),
      runningBuilds: [...this.#runs].filter(([, { isRunning }]) => isRunning).map(([id]) => id),
    }
  }
  #end(machineId: string): void {
    this.machines.delete(machineId)
    this.frozen.delete(machineId)
    this.#sessions.delete(machineId)
  }
  /** Awaited before a build is added. */
  addingBuild: Promise<void> | undefined
  async addBuild(build: SnapshotBuild) {
    await this.addingBuild
    this.#checkSaved(build.checkpointId)
    this.teamBuilds.set(build.buildId, build)
  }
  /** Jobs of all builds that were started. */
  readonly builtJobs: BuildJob[] = []
  builtEnvironment: BuildEnvironment = { defaultUser: 'user', envVars: {} }
  building: ((build: DoubleBuild) => Promise<void>) | undefined
  readonly #runs = new Map<string, BuildRun>()
  async startBuild(job: BuildJob) {
    const { buildId } = job
    if (this.#runs.has(buildId)) return
    const run: BuildRun = { abort: new AbortController(), isRunning: true }
    this.#runs.set(buildId, run)
    this.builtJobs.push(job)
    void this.#build(job, run)
      .then(
        (result): BuildOutcome => ({ result }),
        (error): BuildOutcome => ({ error: toErrorData(error) }),
      )
      .then((outcome) => {
        run.isRunning = false
        this.events.emit({ type: 'buildEnded', buildId, outcome })
      })
  }
  cancelBuild = async (buildId: string, reason: ErrorData) =>
    this.#runs.get(buildId)?.abort.abort(fromErrorData(reason))
  continueBuild = async (buildId: string) => this.#runs.get(buildId)?.proceed?.()
  async #build(job: BuildJob, run: BuildRun): Promise<BuildResult> {
    const { buildId } = job
    const { signal } = run.abort
    const build: DoubleBuild = {
      ...job,
      signal,
      log: (line) => this.events.emit({ type: 'buildLog', buildId, line }),
      wait: async () => {
        this.events.emit({ type: 'buildWaiting', buildId })
        await untilAborted(signal, (resolve) => {
          run.proceed = resolve
          this.events.emit({ type: 'buildReady', buildId })
        })
      },
    }
    await (this.building ?? runSteps)(build)
    signal.throwIfAborted()
    const checkpoint = await this.#save(job.checkpointId)
    return { checkpoint, environment: this.#environmentOf(job) }
  }
  #environmentOf({ recipe }: BuildJob): BuildEnvironment {
    const set = recipe.steps.flatMap((step) => (step.type === 'ENV' ? step.values : []))
    const { envVars, ...environment } = this.builtEnvironment
    return { ...environment, envVars: { ...Object.fromEntries(set), ...envVars } }
  }
  /** Checkpoints of templates whose layers and images were released. */
  readonly released: string[] = []
  planRelease = async (checkpointIds: readonly string[]) => ({
    layerKeys: checkpointIds.filter((id) => this.saved.has(id)),
    imageKeys: [],
  })
  releaseTemplate = async ({ layerKeys, imageKeys }: ReleasePlan) => {
    for (const key of [...layerKeys, ...imageKeys])
      if (!/^[\w-]{1,100}$/.test(key)) throw new SandlotError('invalid_request', `'${key}' cannot be a key`)
    this.released.push(...layerKeys)
    return { freedBytes: layerKeys.length * 1000, neededBy: 0 }
  }
  removeBuild = async (buildId: string) => void this.teamBuilds.delete(buildId)
  async #save(checkpointId: string) {
    await this.saving
    if (this.failSave-- > 0) throw new SandlotError('disk_full', 'there is no room')
    this.saved.add(checkpointId)
    this.#savedNow.add(checkpointId)
    return this.#infoOf(checkpointId)
  }
  #checkSaved(checkpointId: string): void {
    if (!this.saved.has(checkpointId))
      throw new SandlotError('not_found', `checkpoint '${checkpointId}' is not on this machine`)
  }
  #checkAlive(machineId: string): void {
    if (!this.machines.has(machineId)) throw new SandlotError('not_found', `machine '${machineId}' is gone`)
  }
  #infoOf(checkpointId: string) {
    return {
      checkpointId,
      hasMemory: true,
      sizeBytes: 1000,
      createdAtMs: 0,
      resources: RESOURCES,
      engineVersion: 'v',
    }
  }
  /** Machines whose envd does not answer. */
  readonly unresponsive = new Set<string>()
  isGuestHealthy = async (machineId: string) => !this.unresponsive.has(machineId)
  /** How many pauses with memory fail because of a file of a volume. */
  failMemory = 0
  async pause(machineId: string, checkpointId: string, { hasMemory }: PauseOptions) {
    this.#checkAlive(machineId)
    if (hasMemory && this.failMemory-- > 0)
      throw new SandlotError('checkpoint_blocked', 'a process holds /mnt/data/file')
    const info = await this.#save(checkpointId)
    if (hasMemory) this.frozen.add(machineId)
    else this.#end(machineId)
    return { ...info, hasMemory }
  }
  /** Options of each snapshot, by checkpoint id. */
  readonly snapshots = new Map<string, SnapshotOptions>()
  async snapshot(machineId: string, checkpointId: string, options: SnapshotOptions) {
    this.#checkAlive(machineId)
    this.snapshots.set(checkpointId, options)
    return { ...(await this.#save(checkpointId)), hasMemory: options.hasMemory, stoppedMs: 1 }
  }
  async resume(checkpointId: string, { hasMemory, machineId, ...options }: ResumeOptions) {
    this.resumes++
    if (this.failResume-- > 0) throw new SandlotError('sandbox_capacity_unavailable', 'no memory')
    if (!this.saved.has(checkpointId)) throw new SandlotError('not_found', 'no such checkpoint')
    if (this.damaged.has(checkpointId)) throw new SandlotError('checkpoint_damaged', 'a bit flipped')
    if (machineId && hasMemory && this.frozen.has(machineId)) {
      this.#sessions.set(machineId, this.known?.sessionId)
      this.#mount(machineId, options.volumes)
      return { machineId, buildId: 'b1', address: ADDRESS, how: 'hot' as const }
    }
    if (machineId && this.frozen.has(machineId)) this.#end(machineId)
    const volumes = options.volumes?.filter(({ volumeId }) => !this.missingVolumes.has(volumeId))
    const machine = await this.#start(checkpointId, { ...options, volumes })
    return { ...machine, how: hasMemory ? ('restored' as const) : ('booted' as const) }
  }
  async thaw(machineId: string) {
    this.#checkAlive(machineId)
    this.frozen.delete(machineId)
  }
  checkArchive = async (key: string) => {
    if (!/^\.?[A-Za-z0-9][\w.-]{0,199}$/.test(key))
      throw new SandlotError('invalid_request', `'${key}' cannot be the key of an archive`)
  }
  readonly #diffs = new Map<string, AbortController>()
  diff = async (from: string, to: string, { operationId = '' }: DiffOptions = {}): Promise<FileDiff> => {
    const abort = new AbortController()
    this.#diffs.set(operationId, abort)
    await new Promise(setImmediate)
    this.#diffs.delete(operationId)
    abort.signal.throwIfAborted()
    for (const id of [from, to]) this.#checkSaved(id)
    return { added: [`${from} ${to}`], changed: [], deleted: [] }
  }
  cancelDiff = async (operationId: string) =>
    this.#diffs.get(operationId)?.abort(new SandlotError('request_timeout', 'the comparison was cancelled'))
  collectGarbage = async () => ({ chunks: 2, bytes: 20, keptChunks: 1, keptBytes: 10 })
  storageOf = async () => ({ logicalBytes: 0, storedBytes: 0, sharedBytes: 0, checkpoints: {} })
  removeCheckpoint = async (checkpointId: string): Promise<void> => {
    this.saved.delete(checkpointId)
    this.unlisted.delete(checkpointId)
  }
  async acquire(buildId: string, options: AcquireOptions) {
    if (buildId !== BASE.buildId && !this.teamBuilds.has(buildId))
      throw new SandlotError('not_found', `'${buildId}' was deleted`)
    return this.#start(buildId, options)
  }
  #mount(machineId: string, volumes: readonly VolumeMount[] = []): void {
    const existing = volumes.filter(({ volumeId }) => !this.missingVolumes.has(volumeId))
    this.volumes.set(machineId, existing)
  }
  #checkVolume({ volumeId, name }: VolumeMount): void {
    if (this.missingVolumes.has(volumeId))
      throw new SandlotError('not_found', `volume '${name}' does not exist`)
  }
  /** Thrown by the next mount or unmount of a volume, which is made all the same. */
  failVolume: Error | undefined
  #failVolume(): void {
    const error = this.failVolume
    this.failVolume = undefined
    if (error) throw error
  }
  async mountVolume(machineId: string, volume: VolumeMount) {
    this.#checkAlive(machineId)
    if (this.frozen.has(machineId)) throw new SandlotError('not_found', `machine '${machineId}' does not run`)
    const mounted = this.volumes.get(machineId) ?? []
    const other = mounted.find(({ path }) => path === volume.path)
    if (other && other.volumeId !== volume.volumeId)
      throw new SandlotError('conflict', `path '${volume.path}' is already used by volume '${other.name}'`)
    this.#checkVolume(volume)
    if (!other) this.volumes.set(machineId, [...mounted, volume])
    this.#failVolume()
  }
  async unmountVolume(machineId: string, path: string) {
    this.#checkAlive(machineId)
    if (this.frozen.has(machineId)) throw new SandlotError('not_found', `machine '${machineId}' does not run`)
    const mounted = this.volumes.get(machineId) ?? []
    const rest = mounted.filter((one) => one.path !== path)
    this.volumes.set(machineId, rest)
    this.#failVolume()
    return rest.length < mounted.length
  }
  async #start(buildId: string, { owner, network, volumes = [] }: AcquireOptions) {
    this.acquireCalls++
    this.owners.push(owner)
    this.acquired.push(buildId)
    const sessionId = this.known?.sessionId
    await this.acquiring
    for (const volume of volumes) this.#checkVolume(volume)
    const machineId = `m${this.#next++}`
    this.machines.set(machineId, undefined)
    this.#sessions.set(machineId, sessionId)
    this.policies.set(machineId, network)
    this.#mount(machineId, volumes)
    return { machineId, buildId, address: ADDRESS }
  }
  /** How many of the next changes of a policy fail. */
  failSetNetwork = 0
  /** Awaited before a policy is in force. */
  settingNetwork: Promise<void> | undefined
  /** Machines whose open connections a change of their policy cut. */
  readonly cut: string[] = []
  async setNetwork(machineId: string, network: NetworkPolicy, { closeExisting = false } = {}) {
    await this.settingNetwork
    this.#checkAlive(machineId)
    if (this.failSetNetwork-- > 0) throw new SandlotError('firewall_unavailable', 'the table is gone')
    if (closeExisting) this.cut.push(machineId)
    if (this.frozen.has(machineId)) throw new SandlotError('not_found', `machine '${machineId}' does not run`)
    this.policies.set(machineId, network)
  }
  async init(machineId: string, init: MachineInit) {
    if (this.failInit-- > 0) throw new SandlotError('sandbox_create_failed', 'it broke')
    if (!this.machines.has(machineId))
      throw new SandlotError('sandbox_create_failed', `machine '${machineId}' is gone`)
    if (this.dieInInit-- > 0) this.kill(machineId)
    else this.machines.set(machineId, init)
  }
  async stop(machineId: string) {
    this.stops++
    await this.stopping
    if (this.failStop-- > 0) throw new SandlotError('operation_timeout', 'it hangs')
    this.#end(machineId)
  }
  close = async () => {}

  /** Returns what each live machine was initialised with; undefined: not yet. */
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

/** Simulates the steps that tests need: `echo`, `exit` and `sleep`, and a wait for the ready command. */
async function runSteps({ recipe, log, signal, wait }: DoubleBuild): Promise<void> {
  for (const [index, step] of recipe.steps.entries()) {
    signal.throwIfAborted()
    if (step.type !== 'RUN') continue
    const [word, value = ''] = step.command.split(' ')
    log({ level: 'info', message: `[builder ${index + 1}/${recipe.steps.length}] RUN ${step.command}` })
    if (word === 'echo') log({ level: 'info', message: value, step: String(index + 1) })
    if (word === 'exit')
      throw new BuildFailure(
        String(index + 1),
        `failed to run command '${step.command}': exit status ${value}`,
      )
    if (word === 'sleep') await untilAborted(signal, () => {})
  }
  if (recipe.readyCommand) await wait()
}

/** @throws the signal's reason */
function untilAborted(signal: AbortSignal, begin: (resolve: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    begin(resolve)
  })
}
