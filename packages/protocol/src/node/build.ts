import type { CheckpointInfo } from './checkpoint.ts'
import type { BuildResources } from './resources.ts'

/** One step of a template, checked (wire spec 5.2). */
export type BuildStep = { force: boolean } & (
  | { type: 'RUN'; command: string; user?: string }
  | { type: 'COPY'; source: string; target: string; owner: string; mode: string; filesHash: string }
  | { type: 'ENV'; values: Array<[name: string, value: string]> }
  | { type: 'WORKDIR'; path: string }
  | { type: 'USER'; user: string; hasSudo: boolean }
)

/** Credentials for one registry: its own, or keys of AWS that ECR gives a password for. */
export type RegistryLogin = { username: string; password: string } | AwsKeys

export interface AwsKeys {
  awsAccessKeyId: string
  awsSecretAccessKey: string
  awsRegion: string
}

export type BuildOrigin =
  | { image: string; login?: RegistryLogin }
  /** The base template, or a build that is a checkpoint. */
  | { buildId: string; checkpointId?: string; name: string; environment: BuildEnvironment }

/** What the steps so far have set, and sandboxes of the template get. */
export interface BuildEnvironment {
  defaultUser: string
  /** Absent: the user's home. */
  defaultWorkdir?: string
  envVars: Record<string, string>
}

export interface BuildRecipe extends BuildResources {
  /** Finished layers are only ever found again within one scope: files are keyed by a hash that its owner sent. */
  scope: string
  from: BuildOrigin
  steps: BuildStep[]
  startCommand?: string
  readyCommand?: string
  /** Nothing that was built before is used. */
  isForced: boolean
  /** The result is everybody's: other instances of this machine may use it, and have perhaps built it. */
  isShared?: boolean
}

export type BuildLog = (entry: {
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  step?: string
}) => void

export interface BuildJob {
  checkpointId: string
  recipe: BuildRecipe
  /** The files that a COPY brings, on this machine. */
  archiveOf: (filesHash: string) => string
  log: BuildLog
  /** Ends the build; its reason is what the build fails with. */
  signal: AbortSignal
  /** Runs what only waits: the build may take nothing from others meanwhile. Default: as it is. */
  whileWaiting?: <T>(wait: () => Promise<T>) => Promise<T>
  /** Keys of its layers. */
  keys?: string[]
  /** Awaited before a step that runs, and before each of what follows the last. Default: nothing. */
  beforeStep?: () => Promise<void>
}

export interface BuildResult {
  checkpoint: CheckpointInfo
  environment: BuildEnvironment
}
