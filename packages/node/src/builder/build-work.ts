import type { BuildJob, BuildLogLine } from '@sandlot/protocol/node'

export type BuildLog = (line: BuildLogLine) => void

/** A build job and what the node adds while the build runs. */
export interface BuildWork extends Pick<BuildJob, 'checkpointId' | 'recipe'> {
  /** Lets `use` read the archive of a COPY step, a local file. */
  useArchive: <T>(filesHash: string, use: (path: string) => Promise<T>) => Promise<T>
  log: BuildLog
  /** Cancels the build, which then fails with the signal's reason. */
  signal: AbortSignal
  /** Runs work that only waits, during which another build may run. Default: calls `wait` directly. */
  whileWaiting?: <T>(wait: () => Promise<T>) => Promise<T>
  /** Keys of the build's layers. */
  keys?: string[]
  /** Awaited before each step that is run, and before each part of the finalization. Default: nothing. */
  beforeStep?: () => Promise<void>
}
