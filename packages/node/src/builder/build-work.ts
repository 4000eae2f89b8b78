import type { BuildJob, BuildLogLine } from '@sandlot/protocol/node'

export type BuildLog = (line: BuildLogLine) => void

/** A build job and what the node adds while the build runs. */
export interface BuildWork extends Pick<BuildJob, 'checkpointId' | 'recipe'> {
  /** Lets `use` read the archive that a COPY brings, a file of this machine. */
  useArchive: <T>(filesHash: string, use: (path: string) => Promise<T>) => Promise<T>
  log: BuildLog
  /** Ends the build, which then fails with the signal's reason. */
  signal: AbortSignal
  /** Runs what only waits: other builds may take this build's place meanwhile. Default: runs it in place. */
  whileWaiting?: <T>(wait: () => Promise<T>) => Promise<T>
  /** Keys of the build's layers. */
  keys?: string[]
  /** Awaited before a step that runs, and before each of what follows the last. Default: nothing. */
  beforeStep?: () => Promise<void>
}
