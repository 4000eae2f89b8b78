import type { BuildResources } from '@sandlot/protocol/node'
import type { KillReason, SandboxState } from './state.ts'

/** What the create asked for and later answers repeat. */
export interface SandboxSettings {
  secure: boolean
  allowInternetAccess?: boolean
  trafficAccessToken?: string
  network?: Record<string, unknown>
  maskRequestHost?: string
  mcp?: unknown
  /** Environment of every process; told again to a machine that boots anew. */
  envVars?: Record<string, string>
  /** What happens at the deadline; absent: it is killed. */
  autoPause?: { hasMemory: boolean }
  /** Traffic to the paused sandbox resumes it. */
  autoResume?: boolean
  /** Checkpoints that are kept beside the newest; absent: the default. */
  keep?: KeepPolicy
  /** Seconds; refreshes and auto-resume start from it. */
  timeoutSeconds: number
}

export interface SavedAs {
  /** false: it boots from its files. */
  hasMemory: boolean
  /** Its envd did not answer when it was paused: only a boot brings it back. */
  isGuestUnresponsive: boolean
}

/** Older checkpoints of a sandbox go when either limit is passed; snapshots never do. */
export interface KeepPolicy {
  /** So many beside the newest. */
  last: number
  /** Absent: of any age. */
  maxAgeSeconds?: number
}

/** A sandbox that is not killed, as held in memory; its row says the same. */
export interface LiveSandbox extends BuildResources {
  sandboxId: string
  teamId: string
  templateId: string
  templateName: string
  buildId: string
  /** New for each run of the same sandbox. */
  executionId: string
  machineId: string
  address: string
  state: SandboxState
  /** Set with state `killing`: whoever finishes the end, maybe after a crash, says the same reason. */
  killReason?: KillReason
  startedAtMs: number
  endAtMs: number
  envdAccessToken?: string
  /** The newest point of its past: what it was last saved as, or started from. */
  checkpointId?: string
  pausedAtMs?: number
  /** What it is saved as, while it is paused. */
  saved?: SavedAs
  /** As its build says. */
  defaultUser: string
  defaultWorkdir?: string
  settings: SandboxSettings
  metadata: Record<string, string>
}
