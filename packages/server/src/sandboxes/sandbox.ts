import type { BuildResources, VolumeMount } from '@sandlot/protocol/node'
import type { SandboxNetworkConfig } from '@sandlot/protocol/rest'
import type { IamTokens } from './iam-tokens.ts'
import type { KillReason, SandboxState } from './state.ts'

/** What a create asked for; kept in the sandbox's row. */
export interface SandboxSettings {
  secure: boolean
  allowInternetAccess?: boolean
  trafficAccessToken?: string
  /** As the create and the last update spelled it. The node gets a policy that is made of it (`network-policy.ts`). */
  network?: SandboxNetworkConfig
  /** Identity tokens that header values may refer to. Forks do not inherit them. */
  iam?: { tokens: IamTokens }
  maskRequestHost?: string
  mcp?: unknown
  /** Volumes in the sandbox, those of a fork as in its source. */
  volumeMounts?: VolumeMount[]
  /** Environment of every process; sent again to a machine that boots. */
  envVars?: Record<string, string>
  /** Pauses the sandbox at the deadline; absent: the sandbox is killed (`deadlines.ts`). */
  autoPause?: { hasMemory: boolean }
  /** Resumes the paused sandbox when traffic arrives (`auto-resume.ts`). */
  autoResume?: boolean
  /** Which checkpoints are kept beside the newest; absent: `DEFAULT_KEEP`. */
  keep?: KeepPolicy
  /** Time to live after a create, and the least after an auto-resume. */
  timeoutSeconds: number
}

export interface SavedAs {
  /** false: a resume boots from the file system. */
  hasMemory: boolean
  /** envd did not answer when the sandbox was paused: only a boot brings the sandbox back. */
  isGuestUnresponsive: boolean
}

/** Older checkpoints of a sandbox are deleted when either limit is passed; snapshots never are. */
export interface KeepPolicy {
  /** Number of checkpoints beside the newest. */
  last: number
  /** Absent: checkpoints of any age are kept. */
  maxAgeSeconds?: number
}

/** A sandbox that is not killed, as held in memory; the row of the sandbox holds the same. */
export interface LiveSandbox extends BuildResources {
  sandboxId: string
  teamId: string
  templateId: string
  templateName: string
  buildId: string
  /** Id of one run: each resume and rollback starts another. */
  executionId: string
  machineId: string
  address: string
  state: SandboxState
  /** Set with the state `killing`, so that a kill that is finished after a crash keeps the reason. */
  killReason?: KillReason
  startedAtMs: number
  endAtMs: number
  envdAccessToken?: string
  /** Checkpoint that the sandbox was last saved as, or started from. */
  checkpointId?: string
  pausedAtMs?: number
  /** Pauses at the deadline that a file of a volume has prevented, one after the other. */
  blockedPauses?: { count: number; reason: string }
  /** How a paused sandbox is saved; absent while it runs. */
  saved?: SavedAs
  /** User of commands, as set by the build. */
  defaultUser: string
  defaultWorkdir?: string
  settings: SandboxSettings
  metadata: Record<string, string>
}
