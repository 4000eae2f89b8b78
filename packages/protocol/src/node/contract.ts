import type { BuildJob, BuildResult } from './build.ts'
import type {
  CheckpointInfo,
  DiffOptions,
  ExportedBase,
  FileDiff,
  GarbageReport,
  ReleasedTemplate,
  UsageReport,
} from './checkpoint.ts'
import type { BuildResources } from './resources.ts'
/** What the control plane asks of one machine that runs sandboxes. */

/** A build that this machine can start sandboxes from. */
export interface BuildInfo extends BuildResources {
  /** UUID of the build. */
  buildId: string
  /** Name the catalogue knows it by, e.g. `base`. */
  name: string
  defaultUser: string
  /** Absent: the user's home. */
  defaultWorkdir?: string
}

/**
 * One running machine, warm or in use. Its id is not the sandbox's: the control plane keeps the mapping
 * in its row, which makes that row the single truth after a crash.
 */
export interface Machine {
  machineId: string
  buildId: string
  /** IPv4 address that envd and every port of the sandbox answer on, from the host. */
  address: string
}

/** What a machine may reach. Where none is given it reaches nothing; what comes from the host always gets in. */
export interface NetworkPolicy {
  /** DNS, and every address that is not blocked for all sandboxes. */
  allowInternetAccess: boolean
}

/** Sent to envd's `POST /init` once per use of a machine. */
export interface MachineInit {
  sandboxId: string
  templateId: string
  accessToken: string
  envVars: Record<string, string>
  defaultUser: string
  defaultWorkdir?: string
}

/** One sample of a machine; bytes, percent of one core = 100. */
export interface MachineSample {
  machineId: string
  /** Unix milliseconds. */
  timestampMs: number
  cpuCount: number
  cpuUsedPct: number
  memUsed: number
  memTotal: number
  memCache: number
  diskUsed: number
  diskTotal: number
}

/** A build that is a checkpoint: snapshots, and forks while they are made. */
export interface SnapshotBuild extends BuildInfo {
  checkpointId: string
  /** Whom it was saved from; empty: it is a template that was built by steps. */
  sandboxId: string
}

export interface SnapshotOptions {
  /** false: only the file system; what is started from it boots. */
  hasMemory: boolean
  /** It is removed as soon as machines were started from it: it is neither checked nor packed. */
  isPassing: boolean
}

export interface AcquireOptions {
  /** Team that waits for it: teams take turns in the queue of restores. */
  owner: string
  /** In force before anything of the sandbox runs. A machine that is still frozen in memory keeps the one it had. */
  network: NetworkPolicy
}

export interface ResumeOptions extends AcquireOptions {
  /** false: boots from the checkpoint's file system. */
  hasMemory: boolean
  /** The paused sandbox's own machine, if it may still be frozen in memory. */
  machineId?: string
}

/**
 * How a sandbox came back. `hot`: it was frozen in memory and still is, until `thaw`. `booted`: it has a new boot id
 * and none of its processes.
 */
export interface Resumed extends Machine {
  how: 'hot' | 'restored' | 'booted'
  /** Why it was booted although its memory was asked for. */
  reason?: string
}

/** What the control plane's rows say that this machine should have. */
export interface KnownState {
  /** Of the database that the rows are in: what it does not list is kept for the one that does. */
  instanceId: string
  /** Machines of sandboxes that run, with what they may reach. */
  inUse: ReadonlyMap<string, NetworkPolicy>
  /** Machines of paused sandboxes, which may still be frozen in memory. */
  frozen: ReadonlyMap<string, { checkpointId: string; network: NetworkPolicy }>
  /** Machines of sandboxes that are not to go on: half made, or being killed. */
  ended: ReadonlySet<string>
  /** Others are kept for the grace period. */
  checkpoints: ReadonlySet<string>
  /** Snapshots that sandboxes can be started from. */
  builds: readonly SnapshotBuild[]
}

export interface MachineExit {
  machineId: string
  /** Said to people: why it is gone, e.g. `the sandbox's kernel (runsc) died`. */
  reason: string
}

/** A sandbox that stands still because it writes and the disk is nearly full, or goes on. */
export interface MachineStall {
  machineId: string
  /** Said to people; undefined: it goes on. */
  reason?: string
}

export interface NodeEvents {
  /** A machine ended by itself. Never emitted for one that `stop` was asked for. */
  exit: [MachineExit]
  stalled: [MachineStall]
  /** Every 5 s, all machines in use in one pass. */
  samples: [MachineSample[]]
}

export interface SandboxNode {
  /** The most that one sandbox can have on this machine. */
  capacity(): BuildResources
  /** Builds that can be acquired now. */
  builds(): BuildInfo[]
  /** Checkpoints that are complete on this machine; may be asked before `start`. */
  checkpoints(): Promise<Set<string>>
  /** May be asked before `start`. @throws SandlotError not_found */
  describe(checkpointId: string): Promise<CheckpointInfo>
  /**
   * Adopts what a former server left running: machines in `inUse` go on, pristine ones go back to the warm pool, what
   * belongs to no sandbox is removed. Checkpoints and machines of sandboxes that no row lists are only marked, and the
   * machines stand still (docs/adr/0023). Then fills the pool.
   * @returns the ids of `inUse` that are really alive.
   */
  start(known: KnownState): Promise<Set<string>>
  /**
   * A machine that is restored and answering, from the warm pool, else restored now (in a queue where owners take turns).
   * The caller records its id before it calls `init`, and owns it until `stop`.
   * @throws SandlotError sandbox_capacity_unavailable (no slot, memory or disk), operation_timeout, not_found (no such build)
   */
  acquire(buildId: string, options: AcquireOptions): Promise<Machine>
  /** Makes a checkpoint startable. @throws SandlotError not_found */
  addBuild(build: SnapshotBuild): Promise<void>
  /**
   * Makes a template's checkpoint, for `addBuild`.
   * @throws BuildFailure naming the step, the signal's reason, SandlotError
   */
  buildTemplate(job: BuildJob): Promise<BuildResult>
  /**
   * Looks through an archive of a COPY, a tar that may be gzipped, without unpacking it.
   * @param owner team that sent it @throws SandlotError invalid_request with what is wrong
   */
  checkArchive(file: string, owner: string): Promise<void>
  /**
   * Reads what builds of a template have left beside its checkpoints, which must be there still.
   * @returns removes that, when they are gone
   */
  releaseTemplate(checkpointIds: readonly string[]): Promise<() => Promise<ReleasedTemplate>>
  /** Stops keeping it in stock; the checkpoint stays. */
  removeBuild(buildId: string): void
  /**
   * Whether envd answers within a few seconds: one that does not would not do so after a restore either. A machine that
   * stands still for another reason, or is gone, counts as healthy: what comes next says so.
   */
  isGuestHealthy(machineId: string): Promise<boolean>
  /**
   * Saves the machine and keeps it frozen in memory for a while; it is the node's from now on, and `resume` may give
   * it back. When it fails the machine goes on as if nothing had been asked.
   * @throws SandlotError disk_full before anything is stopped, checkpoint_failed, not_found
   */
  pause(machineId: string, checkpointId: string, options: { hasMemory: boolean }): Promise<CheckpointInfo>
  /** Saves the machine, which goes on. @returns also how long it stood still. @throws as `pause` */
  snapshot(
    machineId: string,
    checkpointId: string,
    options: SnapshotOptions,
  ): Promise<CheckpointInfo & { stoppedMs: number }>
  /**
   * Starts a sandbox again from where it was saved. The caller records the machine before it calls `init`.
   * @throws SandlotError not_found, checkpoint_damaged, sandbox_capacity_unavailable
   */
  resume(checkpointId: string, options: ResumeOptions): Promise<Resumed>
  /** Sets a machine going that `resume` gave back hot. */
  thaw(machineId: string): Promise<void>
  /**
   * What happened to the files between two checkpoints: at most 10 001 paths of each kind, the first in order. Nothing of
   * a sandbox runs for it.
   * @throws SandlotError not_found, checkpoint_damaged, rate_limited, sandbox_capacity_unavailable, operation_timeout …
   */
  diff(fromId: string, toId: string, options?: DiffOptions): Promise<FileDiff>
  /** Deletes chunks that no checkpoint needs, or says what it would delete; done now and then by itself. */
  collectGarbage(isDryRun: boolean): Promise<GarbageReport>
  /** What packed checkpoints take; those that are not packed yet are absent. */
  storageOf(checkpointIds: readonly string[]): Promise<UsageReport>
  /** Unknown ids resolve. */
  removeCheckpoint(checkpointId: string): Promise<void>
  /** Another machine has it now: it goes here and stays in the remote store. Unknown ids resolve. */
  leaveCheckpoint(checkpointId: string): Promise<void>
  /**
   * Puts what a checkpoint needs beside itself into the remote store, so that another machine can start it.
   * @returns undefined: the checkpoint itself is not there (yet) @throws SandlotError checkpoint_store_unavailable
   */
  carry(checkpointId: string): Promise<ExportedBase | undefined>
  /** Gives the machine its identity. @throws SandlotError sandbox_create_failed */
  init(machineId: string, init: MachineInit): Promise<void>
  /** Ends the machine now. Resolves when its processes are dead; the rest is cleaned up behind. Unknown ids resolve. */
  stop(machineId: string): Promise<void>
  /** Address of a machine that is alive, for the edge. */
  addressOf(machineId: string): string | undefined
  on<E extends keyof NodeEvents>(event: E, listener: (...args: NodeEvents[E]) => void): void
  /** Stops timers and queues; machines stay alive for the next start. */
  close(): Promise<void>
}
