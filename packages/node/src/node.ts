/** What the control plane asks of one machine that runs sandboxes. */

/** Resources of a build: fixed when it was built. */
export interface BuildResources {
  cpuCount: number
  memoryMB: number
  diskSizeMB: number
}

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

/** Sent to envd's `POST /init` once per use of a machine. */
export interface MachineInit {
  sandboxId: string
  templateId: string
  accessToken: string
  envVars: Record<string, string>
  defaultUser: string
  defaultWorkdir?: string
  /** false: everything outbound but nothing inbound is dropped. */
  allowInternetAccess: boolean
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

export interface MachineExit {
  machineId: string
  /** Said to people: why it is gone, e.g. `the sandbox's kernel (runsc) died`. */
  reason: string
}

export interface NodeEvents {
  /** A machine ended by itself. Never emitted for one that `stop` was asked for. */
  exit: [MachineExit]
  /** Every 5 s, all machines in use in one pass. */
  samples: [MachineSample[]]
}

export interface SandboxNode {
  /** Builds that can be acquired now. */
  builds(): BuildInfo[]
  /**
   * Adopts what a former server left running: machines in `inUse` stay as they are, pristine ones go back
   * to the warm pool, everything else of ours on this machine is removed. Then fills the pool.
   * @returns the ids of `inUse` that are really alive.
   */
  start(inUse: ReadonlySet<string>): Promise<Set<string>>
  /**
   * A machine that is restored and answering, from the warm pool, else restored now (fair queue).
   * The caller records its id before it calls `init`, and owns it until `stop`.
   * @throws SandlotError sandbox_capacity_unavailable (no slot, memory or disk), operation_timeout, not_found (no such build)
   */
  acquire(buildId: string): Promise<Machine>
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
