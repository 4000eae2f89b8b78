import type { CheckpointInfo } from './checkpoint.ts'
import type { ErrorData } from './error-data.ts'
import type { BuildResources } from './resources.ts'

/** One step of a template, checked (wire spec 5.2). */
export type BuildStep = { force: boolean } & (
  | { type: 'RUN'; command: string; user?: string }
  | { type: 'COPY'; source: string; target: string; owner: string; mode: string; filesHash: string }
  | { type: 'ENV'; values: Array<[name: string, value: string]> }
  | { type: 'WORKDIR'; path: string }
  | { type: 'USER'; user: string; hasSudo: boolean }
)

/** Credentials for one registry: a user name and password, or AWS keys that are exchanged for a password of ECR. */
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

/**
 * User, working directory and variables as the previous steps have set them; sandboxes of the template start with them.
 */
export interface BuildEnvironment {
  defaultUser: string
  /** Absent: the user's home. */
  defaultWorkdir?: string
  envVars: Record<string, string>
}

export interface BuildRecipe extends BuildResources {
  /**
   * Team that the build is for. Only builds of the same team reuse its finished layers, and only archives that the team
   * sent are read: both are keyed by a hash that the team's client computed.
   */
  scope: string
  from: BuildOrigin
  steps: BuildStep[]
  startCommand?: string
  readyCommand?: string
  /** Builds every step again, without using cached layers. */
  isForced: boolean
  /** Every team may use the result: other instances of this machine share it, and may have built it already. */
  isShared?: boolean
}

/** A template to build. The node reads the archives that COPY steps name from its archive source, by `archiveKey`. */
export interface BuildJob {
  /** Names the build in events and in later calls. */
  buildId: string
  /** Id that the template's checkpoint gets. */
  checkpointId: string
  recipe: BuildRecipe
  /** Runs each step only while no caller waits for a sandbox to start. */
  isBackground: boolean
}

/** Name of the archive that a COPY step of a team refers to. */
export const archiveKey = (scope: string, filesHash: string): string => `${scope}-${filesHash}.tar`

/** How an archive is checked. */
export interface ArchiveCheckOptions {
  /** Team that sent the archive: teams take turns. */
  owner: string
  /** Archives of this owner that are checked at a time; the others wait. */
  maxConcurrent: number
  /** Files, folders and links in the archive. */
  maxEntries: number
  /** Bytes of all files once they are unpacked. */
  maxBytes: number
}

export interface BuildLogLine {
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  /** `base`, `finalize`, or the number of a step from 1. */
  step?: string
}

export interface BuildResult {
  checkpoint: CheckpointInfo
  environment: BuildEnvironment
}

/** How a build ended. */
export type BuildOutcome = { result: BuildResult } | { error: ErrorData }
