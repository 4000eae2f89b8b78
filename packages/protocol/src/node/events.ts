import type { BuildLogLine, BuildOutcome } from './build.ts'

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

/** What a node reports by itself. Events arrive in the order in which they happened. */
export type NodeEvent =
  /** A machine ended by itself; never sent for one that `stop` was asked for. `reason` is shown to users. */
  | { type: 'exit'; machineId: string; reason: string }
  /** The node has stopped everything in a machine, e.g. because the disk is nearly full. No `reason`: it goes on. */
  | { type: 'stalled'; machineId: string; reason?: string }
  | { type: 'buildLog'; buildId: string; line: BuildLogLine }
  /** The build only waits from now on, e.g. for a service inside to come up: another build may work meanwhile. */
  | { type: 'buildWaiting'; buildId: string }
  /** The build has waited long enough and works on after `continueBuild`. */
  | { type: 'buildReady'; buildId: string }
  | { type: 'buildEnded'; buildId: string; outcome: BuildOutcome }
  /** Every 5 s, all machines in use in one pass. Not kept for a subscriber that is away. */
  | { type: 'samples'; samples: MachineSample[] }

export type NodeEventType = NodeEvent['type']
export type NodeEventOf<T extends NodeEventType> = Extract<NodeEvent, { type: T }>

/** Place of an event in a node's stream. */
export interface EventPosition {
  /** New for each start of the node: numbers of another epoch mean nothing. */
  epoch: string
  /** Grows by one with each event that is kept. Events that are not kept carry the number of the last one before. */
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
