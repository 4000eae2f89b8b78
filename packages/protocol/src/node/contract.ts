import type { BuildJob } from './build.ts'
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
import type { BuildResources } from './resources.ts'

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
 * One running machine, warm or in use. A machine's id is not the sandbox's: the control plane keeps the mapping in its
 * row, which makes that row the single truth after a crash.
 */
export interface Machine {
  machineId: string
  buildId: string
  /** IPv4 address that envd and every port of the sandbox answer on, from the host. */
  address: string
}

/** A machine that is alive, as `status` and `join` report it. */
export type MachineStatus = Pick<Machine, 'machineId' | 'address'>

/** What a machine may reach. A machine without a policy reaches nothing; connections from the host always get in. */
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

export interface AcquireOptions {
  /** Team that waits for the machine: teams take turns in the queue of restores. */
  owner: string
  /** In force before anything of the sandbox runs. A machine that is still frozen in memory keeps its old policy. */
  network: NetworkPolicy
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

/** What the control plane's rows say that this machine should have. */
export interface KnownState {
  /** Of the database that the rows are in. Another database that does not list a thing is no reason to delete it. */
  instanceId: string
  /**
   * Of the server process that joins. What the same process was given since its last join is left alone, listed or
   * not: its rows may not say so yet. Whatever another process was given counts by the rows alone.
   */
  sessionId: string
  /** Machines of sandboxes that run, with what they may reach. */
  inUse: ReadonlyArray<{ machineId: string; network: NetworkPolicy }>
  /** Machines of paused sandboxes, which may still be frozen in memory. */
  frozen: ReadonlyArray<{ machineId: string; checkpointId: string; network: NetworkPolicy }>
  /** Machines of sandboxes that must end: half made by an earlier process, or being killed. Not those being made now. */
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
  /** Ids of builds that are under way; the control plane cancels those that it does not know. */
  buildsUnderWay: string[]
}

/**
 * One machine that runs sandboxes, as the control plane uses it. Every argument, answer, event and error is data, so
 * that a node can be in another process: errors cross as `ErrorData`, and what takes long reports by events.
 */
export interface SandboxNode {
  /**
   * Brings the control plane's rows and this machine together, and must be called before anything that starts a
   * machine. The first call adopts what a former server left running: machines in `inUse` go on, pristine ones return
   * to the warm pool, and what belongs to no sandbox is removed. Every call ends the machines in `ended`. Checkpoints
   * and machines of sandboxes that no row lists are only marked, never deleted, and such machines stand still
   * (docs/adr/0023). May be called again at any time: idempotent, and concurrent calls run one after the other.
   */
  join(known: KnownState): Promise<Joined>
  /**
   * Sends events that were not acknowledged and come after `after`, then all that follow. A new subscriber takes the
   * place of the one before.
   * @param after last event that the caller has received. Default: none
   */
  subscribe(after: EventPosition | undefined, receive: (sent: SentEvent) => void): EventSubscription
  /** The caller has recorded this event and all before it. */
  acknowledge(position: EventPosition): Promise<void>

  /** The most that one sandbox can have on this machine. */
  capacity(): Promise<BuildResources>
  /** Builds of the node itself that can be acquired now, the base template first. */
  builds(): Promise<BuildInfo[]>
  /** A machine that is alive; undefined: it has ended, or never was. */
  status(machineId: string): Promise<MachineStatus | undefined>

  /**
   * A machine that is restored and answering, from the warm pool, else restored now (in a queue where owners take turns).
   * The caller records the machine's id before it calls `init`, and owns the machine until `stop`.
   * @throws SandlotError sandbox_capacity_unavailable (no slot, memory or disk), operation_timeout, not_found (no such build)
   */
  acquire(buildId: string, options: AcquireOptions): Promise<Machine>
  /** Gives the machine its identity. @throws SandlotError sandbox_create_failed */
  init(machineId: string, init: MachineInit): Promise<void>
  /** Ends the machine. Resolves when its processes are dead; cleanup goes on in the background. Unknown ids resolve. */
  stop(machineId: string): Promise<void>
  /**
   * Whether envd answers within a few seconds: one that does not would not do so after a restore either. A machine that
   * stands still for another reason, or is gone, counts as healthy: the call that follows reports that.
   */
  isGuestHealthy(machineId: string): Promise<boolean>

  /**
   * Saves the machine and keeps it frozen in memory for a while; the node owns it from now on, and `resume` may give it
   * back. When the call fails the machine goes on as if nothing had been asked.
   * @throws SandlotError disk_full before anything is stopped, checkpoint_failed, not_found
   */
  pause(machineId: string, checkpointId: string, options: { hasMemory: boolean }): Promise<CheckpointInfo>
  /** Saves the machine, which goes on. @returns also for how long it was stopped. @throws as `pause` */
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
  /** Lets a machine run that `resume` gave back hot. @throws SandlotError not_found */
  thaw(machineId: string): Promise<void>

  /** Checkpoints that are complete on this machine; may be asked before `join`. */
  checkpoints(): Promise<string[]>
  /** May be asked before `join`. @throws SandlotError not_found */
  describe(checkpointId: string): Promise<CheckpointInfo>
  /**
   * What happened to the files between two checkpoints: at most 10 001 paths of each kind, the first in order. Nothing of
   * a sandbox runs for it.
   * @throws SandlotError not_found, checkpoint_damaged, rate_limited, sandbox_capacity_unavailable, operation_timeout …
   */
  diff(fromId: string, toId: string, options?: DiffOptions): Promise<FileDiff>
  /** Ends a comparison whose caller is gone; its `diff` rejects. Unknown ids resolve. */
  cancelDiff(operationId: string): Promise<void>
  /** Deletes chunks that no checkpoint needs, or reports what would be deleted; the node also does so at intervals. */
  collectGarbage(isDryRun: boolean): Promise<GarbageReport>
  /** What packed checkpoints take; those that are not packed yet are absent. */
  storageOf(checkpointIds: readonly string[]): Promise<UsageReport>
  /** Unknown ids resolve. */
  removeCheckpoint(checkpointId: string): Promise<void>
  /** Another machine has taken over: drops the copy here and leaves the one in the bucket. Unknown ids resolve. */
  dropLocalCheckpoint(checkpointId: string): Promise<void>
  /**
   * Puts what a checkpoint needs beside itself into the bucket, so that another machine can start the checkpoint.
   * @returns undefined: the checkpoint itself is not in the bucket (yet) @throws SandlotError checkpoint_store_unavailable
   */
  exportBase(checkpointId: string): Promise<ExportedBase | undefined>

  /** Makes a checkpoint startable. @throws SandlotError not_found */
  addBuild(build: SnapshotBuild): Promise<void>
  /** Stops keeping machines of the build in stock; the checkpoint stays. Unknown ids resolve. */
  removeBuild(buildId: string): Promise<void>
  /**
   * Begins to make a template's checkpoint, for `addBuild`. Log lines, waits and the end arrive as events. A second call
   * for a build that is under way, or whose end is not acknowledged, does nothing.
   */
  startBuild(job: BuildJob): Promise<void>
  /** Ends a build, which then fails with `reason`. Unknown ids resolve. */
  cancelBuild(buildId: string, reason: ErrorData): Promise<void>
  /** Lets a build work again that has sent `buildReady`. Unknown ids resolve. */
  continueBuild(buildId: string): Promise<void>
  /**
   * Looks through an archive of a COPY, a tar that may be gzipped, without unpacking it.
   * @param key name of the archive in the node's archive source @param owner team that sent it
   * @throws SandlotError invalid_request with what is wrong
   */
  checkArchive(key: string, owner: string): Promise<void>
  /** Reads what builds of a template have left beside its checkpoints, which must still be there. */
  planRelease(checkpointIds: readonly string[]): Promise<ReleasePlan>
  /**
   * Removes what a plan lists, once the template's checkpoints are gone. Layers and images that something else needs
   * stay. @throws SandlotError invalid_request
   */
  releaseTemplate(plan: ReleasePlan): Promise<ReleasedTemplate>

  /** Stops timers and queues; machines stay alive for the next start. */
  close(): Promise<void>
}
