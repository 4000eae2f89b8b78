/** Limits of a team's plan; null: what the machine says (`limits.ts`), never more than it has. */
export interface Plan {
  concurrentSandboxes: number | null
  createsPerSecond: number | null
  maxLengthHours: number | null
  requestsPerSecond: number | null
  /** Of checkpoints, as they were written. */
  storageMB: number | null
  /** Of one sandbox, or of a machine that builds a template. */
  cpuCount: number | null
  memoryMB: number | null
  diskSizeMB: number | null
  unfinishedBuilds: number | null
  /** Archives for COPY steps that are kept, and what they take. */
  uploads: number | null
  uploadMB: number | null
  /** At a time. */
  diffs: number | null
}

export interface Team {
  teamId: string
  name: string
  /** Namespace of its templates. */
  slug: string
  plan: Plan
}
