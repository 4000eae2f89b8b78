/** Limits of a team's plan; null is no limit. */
export interface Plan {
  concurrentSandboxes: number | null
  createsPerSecond: number | null
  maxLengthHours: number | null
  requestsPerSecond: number | null
  /** Of checkpoints, as they were written. */
  storageMB: number | null
}

export interface Team {
  teamId: string
  name: string
  /** Namespace of its templates. */
  slug: string
  plan: Plan
}
