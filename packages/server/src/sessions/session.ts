import type { Team } from '../teams/team.ts'

/** `browser`: a cookie of the sign-in pages. `cli`: tokens of `e2b auth login`. `machine`: an access token for CI. */
export type SessionKind = 'browser' | 'cli' | 'machine'

export interface Session {
  id: string
  kind: SessionKind
  team: Team
  /** Name that is shown to users, such as `E2B CLI 2.19.0`. */
  name: string
  createdAtMs: number
  expiresAtMs: number
}
