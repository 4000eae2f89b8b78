/** Limits of a team's plan; null: the default in `limits.ts`. No plan allows more than the machine has. */
export interface Plan {
  concurrentSandboxes: number | null
  createsPerSecond: number | null
  maxLengthHours: number | null
  requestsPerSecond: number | null
  /** Megabytes of checkpoints and archives for COPY steps, as they were written. */
  storageMB: number | null
  /** Resources of one sandbox, or of a machine that builds a template. */
  cpuCount: number | null
  memoryMB: number | null
  diskSizeMB: number | null
  unfinishedBuilds: number | null
  /** Number and megabytes of the archives for COPY steps that are kept. */
  uploads: number | null
  uploadMB: number | null
  /** Diffs at a time. */
  diffs: number | null
}
