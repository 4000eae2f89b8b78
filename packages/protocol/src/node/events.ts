import type { BuildLogLine, BuildOutcome } from './build.ts'
import type { ConnectionRecord } from './connections.ts'

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

/** Events that a node sends unasked, in the order in which they happened. */
export type NodeEvent =
  /** A machine ended by itself; not sent for a machine that the control plane stopped. `reason` is shown to users. */
  | { type: 'exit'; machineId: string; reason: string }
  /**
   * The node has frozen a machine, e.g. because the disk is nearly full. Without `reason`: the node has unfrozen the
   * machine.
   */
  | { type: 'stalled'; machineId: string; reason?: string }
  | { type: 'buildLog'; buildId: string; line: BuildLogLine }
  /** The build has begun to wait, e.g. for a service in its machine to start: another build may run meanwhile. */
  | { type: 'buildWaiting'; buildId: string }
  /** The build has finished waiting, and continues when the control plane calls `continueBuild`. */
  | { type: 'buildReady'; buildId: string }
  | { type: 'buildEnded'; buildId: string; outcome: BuildOutcome }
  /**
   * Where sandboxes connected to, sent in batches. Kept for a disconnected subscriber up to a limit; `dropped` counts what
   * did not fit since the last batch.
   */
  | { type: 'connections'; records: ConnectionRecord[]; dropped: number }
  /**
   * Packets that were refused in the last seconds because their sandbox had too many connections, whether there are records
   * of them or not. Not kept for a disconnected subscriber.
   */
  | { type: 'connectionLimit'; refused: Array<{ teamId: string; packets: number }> }
  /** Every 5 s, all machines in use in one pass. Not kept for a disconnected subscriber. */
  | { type: 'samples'; samples: MachineSample[] }

export type NodeEventType = NodeEvent['type']
export type NodeEventOf<T extends NodeEventType> = Extract<NodeEvent, { type: T }>

/** Place of an event in a node's stream. */
export interface EventPosition {
  /** Random id of one run of the node: sequence numbers of different epochs cannot be compared. */
  epoch: string
  /** Grows by one with each event that is kept. Events that are not kept carry the number of the last kept one. */
  sequence: number
}

export interface SentEvent extends EventPosition {
  /** Sent again until it is acknowledged. */
  isKept: boolean
  event: NodeEvent
}

export interface EventSubscription {
  close(): void
}
