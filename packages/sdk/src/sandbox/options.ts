import type { ConnectionOpts, Username } from '../connection-config.ts'
import type { Volume } from '../volume/volume.ts'
import type { SandboxIamOpts } from './iam.ts'
import type { SandboxState } from './info.ts'
import type { SandboxLifecycle } from './lifecycle.ts'
import type { McpServer } from './mcp.ts'
import type { SandboxNetworkOpts } from './network.ts'
import type { SandboxVolumeOpts } from './volume-mounts.ts'

/** Options of a call about one sandbox. */
export interface SandboxApiOpts
  extends Partial<
    Pick<
      ConnectionOpts,
      | 'apiKey'
      | 'validateApiKey'
      | 'headers'
      | 'apiHeaders'
      | 'debug'
      | 'domain'
      | 'requestTimeoutMs'
      | 'retries'
      | 'signal'
    >
  > {}

/** How a volume is mounted into a running sandbox. */
export interface SandboxMountOpts extends SandboxApiOpts {
  /** The sandbox cannot change the volume. @default false; true for snapshots */
  readOnly?: boolean
}

/** Options for creating a sandbox. */
export interface SandboxOpts extends ConnectionOpts {
  /** Name or id of the template. @default `base`; `mcp-gateway` when `mcp` is set */
  template?: string
  /** Your own labels, to find the sandbox with `Sandbox.list`. @default {} */
  metadata?: Record<string, string>
  /** Environment variables of all processes in the sandbox. @default {} */
  envs?: Record<string, string>
  /** Time to live in **milliseconds**; `setTimeout` changes it later. @default 300_000, from the server */
  timeoutMs?: number
  /** @deprecated Has no effect: every sandbox is secured. */
  secure?: boolean
  /** false is the same as `network.denyOut: [ALL_TRAFFIC]`. @default true */
  allowInternetAccess?: boolean
  /** Starts the MCP gateway with these servers. */
  mcp?: McpServer
  network?: SandboxNetworkOpts
  /** Workload identity: tokens that `network.rules` may put into requests. */
  iam?: SandboxIamOpts
  /** Volumes, or their names, by mount path; `{ volume, readOnly: true }` is a mount that cannot change the volume. */
  volumeMounts?: Record<string, Volume | string | SandboxVolumeOpts>
  /** One base URL for all requests to the sandbox. @default E2B_SANDBOX_URL */
  sandboxUrl?: string
  /** What happens when the time to live is over. @default the sandbox is killed */
  lifecycle?: SandboxLifecycle
}

/**
 * How a paused sandbox is resumed: `restore` with memory and processes, or `reboot` from the disk only, which helps when a
 * process in memory hangs.
 */
export type SandboxOnResume = 'restore' | 'reboot'

/** Options for connecting. */
export type SandboxConnectOpts = ConnectionOpts & {
  /** Time to live from now in **milliseconds**; a longer remaining time is not shortened. @default 300_000 */
  timeoutMs?: number
  /** @default 'restore' */
  onResume?: SandboxOnResume
}

export interface SandboxUpdateNetworkOpts extends SandboxApiOpts {
  /** true: also cuts open connections that the new rules refuse. @default false */
  closeExisting?: boolean
}

export interface SandboxPauseOpts extends SandboxApiOpts {
  /** false keeps the disk only, so that the sandbox boots again when it is resumed. @default true */
  keepMemory?: boolean
}

export interface SandboxForkOpts extends ConnectionOpts {
  /** Number of forks, 1 to 100. @default 1 */
  count?: number
  /** Time to live of each fork in **milliseconds**. @default the server's */
  timeoutMs?: number
}

export type SandboxListOrder = 'asc' | 'desc'

export interface SandboxListOpts extends Omit<SandboxApiOpts, 'signal'> {
  /** Conditions that a sandbox must all meet. */
  query?: {
    metadata?: Record<string, string>
    /** @default both */
    state?: Array<SandboxState>
    startedAfter?: Date
    /** Id or name. */
    template?: string
  }
  /** Order by start time, across all pages. @default 'desc' */
  order?: SandboxListOrder
  /** Maximum number of items of a page, 1 to 100. @default 100 */
  limit?: number
  /** Where to start: `nextToken` of another paginator. */
  nextToken?: string
}

export interface SandboxMetricsOpts extends SandboxApiOpts {
  /** @default the start of the sandbox */
  start?: Date
  /** @default now */
  end?: Date
}

export interface SnapshotListOpts extends Omit<SandboxApiOpts, 'signal'> {
  /** Only snapshots of this sandbox. */
  sandboxId?: string
  /** Name or id, with or without a tag. */
  name?: string
  /** Maximum number of items of a page, 1 to 100. @default 100 */
  limit?: number
  /** Where to start: `nextToken` of another paginator. */
  nextToken?: string
}

export interface CreateSnapshotOpts extends SandboxApiOpts {
  /** Name of the snapshot; an existing one gets a new build. @default none */
  name?: string
}

/** Options for a URL of a file. */
export interface SandboxUrlOpts {
  /** Seconds until it expires. @default never */
  useSignatureExpiration?: number
  /** User whose home directory relative paths start in. @default the default user of the template */
  user?: Username
}
