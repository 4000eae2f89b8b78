import type { Team } from '../teams/team.ts'

/** `browser`: a cookie, to consent with. `cli`: what `e2b auth login` got. `machine`: an access token for CI. */
export type SessionKind = 'browser' | 'cli' | 'machine'

export interface Session {
  id: string
  kind: SessionKind
  team: Team
  /** What people see of it, e.g. `E2B CLI 2.19.0`. */
  name: string
  createdAtMs: number
  expiresAtMs: number
}
