import type { ArchiveCheckOptions, BuildJob } from './build.ts'
import type {
  CheckpointInfo,
  DiffOptions,
  ExportedBase,
  FileDiff,
  GarbageReport,
  ReleasedTemplate,
  ReleasePlan,
  UsageReport,
} from './checkpoint.ts'
import type { ErrorData } from './error-data.ts'
import type { EventPosition, EventSubscription, SentEvent } from './events.ts'
import type { NetworkOwner, NetworkPolicy } from './network.ts'
import type { BuildResources } from './resources.ts'
import type { VolumeMount } from './volumes.ts'

/** A build that this machine can start sandboxes from. */
export interface BuildInfo extends BuildResources {
  /** UUID of the build. */
  buildId: string
  /** Name of the template, e.g. `base`. */
  name: string
  defaultUser: string
  /** Absent: the user's home. */
  defaultWorkdir?: string
}

/**
 * One running machine, warm or in use. Machine ids differ from sandbox ids: the control plane stores the mapping in the
 * sandbox's row, so after a crash that row alone decides which machine belongs to which sandbox.
 */
export interface Machine {
  machineId: string
  buildId: string
  /** IPv4 address that envd and every port of the sandbox answer on, from the host. */
  address: string
}

/** A machine that is alive, as `status` and `join` report it. */
export type MachineStatus = Pick<Machine, 'machineId' | 'address'>

/** Sent to envd's `POST /init` once per use of a machine. */
export interface MachineInit {
  sandboxId: string
  templateId: string
  accessToken: string
  envVars: Record<string, string>
  defaultUser: string
  defaultWorkdir?: string
}

/** A build that is a checkpoint: snapshots, and templates that were built by steps. */
export interface SnapshotBuild extends BuildInfo {
  checkpointId: string
  /** Sandbox that the snapshot was taken from. Absent: the build is a template that was built by steps. */
  sandboxId?: string
}

export interface SnapshotOptions {
  /** false: only the file system; sandboxes started from the checkpoint boot. */
  hasMemory: boolean
  /** The checkpoint is removed as soon as machines were started from it, so it is neither checked nor packed. */
  isTransient: boolean
}

export interface PauseOptions {
  hasMemory: boolean
  /**
   * Whether to kill processes that hold a file of a volume which another sandbox has deleted, as such processes cannot be
   * saved. Default false: an error names them.
   */
  mayKill?: boolean
}

export interface AcquireOptions {
  /** Team that waits for the machine: teams take turns in the queue of restores. */
  owner: string
  /** Sandbox that gets the machine. */
  sandboxId: string
  /**
   * In force before anything of the sandbox runs: when `init` has resolved, or before code that a checkpoint contains
   * continues. A machine that is still frozen in memory keeps its old policy.
   */
  network: NetworkPolicy
  /** Mounted before anything of the sandbox runs. Default: none. @throws SandlotError not_found (no such volume) */
  volumes?: readonly VolumeMount[]
}

export interface ResumeOptions extends AcquireOptions {
  /** false: boots from the checkpoint's file system. */
  hasMemory: boolean
  /** The paused sandbox's own machine, if it may still be frozen in memory. */
  machineId?: string
}

/**
 * How a sandbox came back. `hot`: its machine was frozen in memory and still is, until `thaw`. `booted`: the machine has
 * a new boot id and none of the sandbox's processes.
 */
export interface Resumed extends Machine {
  how: 'hot' | 'restored' | 'booted'
  /** Why the machine was booted although its memory was asked for. */
  reason?: string
}

/** A machine of a sandbox with what the sandbox may reach. */
export interface KnownMachine extends NetworkOwner {
  machineId: string
  network: NetworkPolicy
  /** Volumes that the machine must have. A join mounts and unmounts accordingly. Absent: those that it has. */
  volumes?: readonly VolumeMount[]
}

/** What the control plane's rows say that this machine should have. */
export interface KnownState {
  /** Id of the database that holds the rows. What only another database listed is not deleted. */
  instanceId: string
  /**
   * Id of the server process that joins. Machines and checkpoints that were created for this process since its last join
   * are left alone even when they are not listed, as the rows may not be written yet. For those of another process only
   * the rows count.
   */
  sessionId: string
  /** Machines of sandboxes that run. */
  inUse: readonly KnownMachine[]
  /** Machines of paused sandboxes, which may still be frozen in memory. */
  frozen: ReadonlyArray<KnownMachine & { checkpointId: string }>
  /** Machines to end: their sandboxes were being created by an earlier process, or are being killed. */
  ended: readonly string[]
  /** Checkpoints that are not listed are kept for the grace period. */
  checkpoints: readonly string[]
  /** Snapshots and templates that sandboxes can be started from. */
  builds: readonly SnapshotBuild[]
}

/** What a join found. */
export interface Joined {
  /** Machines of `inUse` that are really alive. */
  alive: MachineStatus[]
  /** The most that one sandbox can have on this machine. */
  capacity: BuildResources
  /** Builds of the node itself that can be acquired, the base template first. */
  builds: BuildInfo[]
  /** Ids of running builds; the control plane cancels those that it does not know. */
  runningBuilds: string[]
}

/**
 * One machine that runs sandboxes, as the control plane uses it. Every argument, answer, event and error is data, so
 * that a node can be in another process: errors cross as `ErrorData`, and what takes long reports by events.
 */
export interface SandboxNode {
  /**
   * Brings the control plane's rows and this machine together, and must be called before anything that starts a
   * machine. The first call adopts what a former server left running: machines in `inUse` keep running, unused machines
   * return to the warm pool, and leftovers of no sandbox are removed. Every call ends the machines in `ended`.
   * Checkpoints and machines of sandboxes that no row lists are only marked, never deleted, and such machines are frozen
   * (docs/adr/0023). May be called again at any time: the call is idempotent, and concurrent calls run one after the
   * other.
   */
  join(known: KnownState): Promise<Joined>
  /**
   * Sends events that were not acknowledged and come after `after`, then all that follow. A new subscriber replaces the
   * previous one.
   * @param after last event that the caller has received. Default: none
   */
  subscribe(after: EventPosition | undefined, receive: (sent: SentEvent) => void): EventSubscription
  /** Tells the node that the caller has recorded this event and all earlier ones. */
  acknowledge(position: EventPosition): Promise<void>

  /** The most that one sandbox can have on this machine. */
  capacity(): Promise<BuildResources>
  /** Builds of the node itself that can be acquired now, the base template first. */
  builds(): Promise<BuildInfo[]>
  /** Returns undefined when the machine has ended or never existed. */
  status(machineId: string): Promise<MachineStatus | undefined>

  /**
   * Returns a restored machine whose envd answers: from the warm pool, else restored now (in a queue where owners take
   * turns). The caller records the machine's id before it calls `init`, and owns the machine until `stop`.
   * @throws SandlotError sandbox_capacity_unavailable (no slot, memory or disk), operation_timeout, not_found (no such build)
   */
  acquire(buildId: string, options: AcquireOptions): Promise<Machine>
  /**
   * Gives the machine its identity, and resolves when the policy of its sandbox is in force too.
   * @throws SandlotError sandbox_create_failed, firewall_unavailable
   */
  init(machineId: string, init: MachineInit): Promise<void>
  /**
   * Ends the machine. Resolves when the machine's processes are dead; cleanup continues in the background. Unknown ids
   * resolve.
   */
  stop(machineId: string): Promise<void>
  /**
   * Replaces what a sandbox may reach, atomically and for new connections. Resolves when the policy is in force.
   * @param closeExisting also cuts open connections that the new policy refuses
   * @throws SandlotError not_found, firewall_unavailable
   */
  setNetwork(machineId: string, network: NetworkPolicy, options?: { closeExisting?: boolean }): Promise<void>
  /**
   * Mounts one more volume into a running machine. Resolves too when the volume is there already.
   * @throws SandlotError not_found (no such machine or volume), volume_unavailable, invalid_request (a path that cannot be
   * a mount point, more than 16 volumes), conflict (another volume at the path, or a machine that can have none)
   */
  mountVolume(machineId: string, volume: VolumeMount): Promise<void>
  /**
   * Unmounts the volume at a path; open files stay usable. @returns false when there is none
   * @throws SandlotError not_found
   */
  unmountVolume(machineId: string, path: string): Promise<boolean>
  /**
   * Whether envd answers within a few seconds; if not, envd would not answer after a restore either. A machine that is
   * frozen for another reason, or is gone, counts as healthy, because the next call reports that.
   */
  isGuestHealthy(machineId: string): Promise<boolean>

  /**
   * Saves the machine and keeps it frozen in memory for a while; the node then owns the machine, and `resume` may return
   * it. When the call fails, the machine keeps running as before.
   * @throws SandlotError disk_full before anything is stopped, checkpoint_failed, not_found, checkpoint_blocked (a process
   * that cannot be saved)
   */
  pause(machineId: string, checkpointId: string, options: PauseOptions): Promise<CheckpointInfo>
  /** Saves the machine, which then keeps running. @returns also how long the machine was frozen. @throws as `pause` */
  snapshot(
    machineId: string,
    checkpointId: string,
    options: SnapshotOptions,
  ): Promise<CheckpointInfo & { stoppedMs: number }>
  /**
   * Starts a sandbox again from a checkpoint. The caller records the machine before it calls `init`.
   * @throws SandlotError not_found, checkpoint_damaged, sandbox_capacity_unavailable
   */
  resume(checkpointId: string, options: ResumeOptions): Promise<Resumed>
  /** Unfreezes a machine that `resume` returned as `hot`. @throws SandlotError not_found */
  thaw(machineId: string): Promise<void>

  /** Checkpoints that are complete on this machine; may be called before `join`. */
  checkpoints(): Promise<string[]>
  /** May be called before `join`. @throws SandlotError not_found */
  describe(checkpointId: string): Promise<CheckpointInfo>
  /**
   * Compares the files of two checkpoints: at most 10 001 paths of each kind, the first in alphabetical order. No code of
   * a sandbox runs for this.
   * @throws SandlotError not_found, checkpoint_damaged, sandbox_capacity_unavailable, operation_timeout …
   */
  diff(fromId: string, toId: string, options?: DiffOptions): Promise<FileDiff>
  /** Ends a comparison that nobody waits for any more; the pending `diff` call rejects. Unknown ids resolve. */
  cancelDiff(operationId: string): Promise<void>
  /** Deletes chunks that no checkpoint needs, or reports what would be deleted; the node also does so at intervals. */
  collectGarbage(isDryRun: boolean): Promise<GarbageReport>
  /** Storage that packed checkpoints use; checkpoints that are not packed yet are absent. */
  storageOf(checkpointIds: readonly string[]): Promise<UsageReport>
  /** Unknown ids resolve. */
  removeCheckpoint(checkpointId: string): Promise<void>
  /** Another machine has taken over: drops the copy here and leaves the one in the bucket. Unknown ids resolve. */
  dropLocalCheckpoint(checkpointId: string): Promise<void>
  /**
   * Uploads the files that a checkpoint needs beside its own (image, envd), so that another machine can start the
   * checkpoint.
   * @returns undefined when the checkpoint itself is not in the bucket (yet) @throws SandlotError
   * checkpoint_store_unavailable
   */
  exportBase(checkpointId: string): Promise<ExportedBase | undefined>

  /** Makes a checkpoint startable. @throws SandlotError not_found */
  addBuild(build: SnapshotBuild): Promise<void>
  /** Stops keeping machines of the build in stock; the checkpoint stays. Unknown ids resolve. */
  removeBuild(buildId: string): Promise<void>
  /**
   * Begins to make a template's checkpoint, for `addBuild`. Log lines, waits and the end arrive as events. A second call
   * for a build that is running, or whose end is not acknowledged, does nothing.
   */
  startBuild(job: BuildJob): Promise<void>
  /** Cancels a build, which then fails with `reason`. Unknown ids resolve. */
  cancelBuild(buildId: string, reason: ErrorData): Promise<void>
  /** Lets a build that has sent `buildReady` continue. Unknown ids resolve. */
  continueBuild(buildId: string): Promise<void>
  /**
   * Checks the archive of a COPY step, a tar that may be gzipped, without unpacking it.
   * @param key name of the archive in the node's archive source
   * @throws SandlotError invalid_request with what is wrong, sandbox_capacity_unavailable
   */
  checkArchive(key: string, options: ArchiveCheckOptions): Promise<void>
  /** Lists the layers and images that builds of a template left beside its checkpoints, which must still exist. */
  planRelease(checkpointIds: readonly string[]): Promise<ReleasePlan>
  /**
   * Removes what a plan lists, once the template's checkpoints are gone. Layers and images that other builds or sandboxes
   * need are kept. @throws SandlotError invalid_request
   */
  releaseTemplate(plan: ReleasePlan): Promise<ReleasedTemplate>

  /** Stops timers and queues; machines stay alive for the next start. */
  close(): Promise<void>
}
