/**
 * What a team's plan allows; a row of the table `plans`, in which null stands for the default of `limits.ts`. Here, null
 * means that the plan sets no limit. No plan allows more than the machine has.
 */
export interface Plan {
  concurrentSandboxes: number | null
  createsPerSecond: number | null
  maxLengthHours: number | null
  /** Of one API key or session; all of a team together have a limit of their own. */
  requestsPerSecond: number | null
  /** Megabytes of checkpoints and archives for COPY steps, as they were written. */
  storageMB: number | null
  /** Resources of one sandbox, or of a machine that builds a template. */
  cpuCount: number | null
  memoryMB: number | null
  diskSizeMB: number | null
  unfinishedBuilds: number
  /** Archives for COPY steps that are kept. */
  uploads: number
  /** Megabytes of these archives. null: a share of the disk, see `uploadShare` in `limits.ts`. */
  uploadMB: number | null
  /** Megabytes of all volumes together, those in the trash included. null: see `volumesMB` in `limits.ts`. */
  volumeMB: number | null
  /** Diffs at a time. The machine makes two at a time, for all teams; more wait for their turn. */
  diffs: number
}
