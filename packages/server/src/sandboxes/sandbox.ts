import type { BuildResources } from '@sandlot/node'
import type { KillReason, SandboxState } from './state.ts'

/** What the create asked for and later answers repeat. */
export interface SandboxSettings {
  secure: boolean
  allowInternetAccess?: boolean
  trafficAccessToken?: string
  network?: Record<string, unknown>
  maskRequestHost?: string
  mcp?: unknown
  /** Seconds; refreshes and auto-resume start from it. */
  timeoutSeconds: number
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
  settings: SandboxSettings
  metadata: Record<string, string>
}
