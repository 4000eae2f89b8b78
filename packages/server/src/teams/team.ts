import type { Plan } from './plans.ts'

export interface Team {
  teamId: string
  name: string
  /** Namespace of the team's templates. */
  slug: string
  plan: Plan
}
