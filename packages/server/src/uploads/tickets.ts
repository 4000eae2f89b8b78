import { randomBytes } from 'node:crypto'
import { HOUR_MS } from '@sandlot/protocol'
import { TEAM_LIMITS } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'

const TICKET_MS = HOUR_MS

export interface UploadTicket {
  team: Team
  templateId: string
  hash: string
  expiresAtMs: number
}

/**
 * Secrets that allow one upload without an API key, which clients do not send. Too many tickets of a team displace only
 * that team's own.
 */
export class UploadTickets {
  readonly #now: () => number
  readonly #byTeam = new Map<string, Map<string, UploadTicket>>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** @returns a secret that is valid for an hour */
  add(team: Team, templateId: string, hash: string): string {
    const nowMs = this.#now()
    const tickets = this.#byTeam.get(team.teamId) ?? new Map<string, UploadTicket>()
    this.#byTeam.set(team.teamId, tickets)
    for (const [token, { expiresAtMs }] of tickets) {
      if (expiresAtMs > nowMs && tickets.size < TEAM_LIMITS.uploadTickets) break
      tickets.delete(token)
    }
    const token = randomBytes(24).toString('hex')
    tickets.set(token, { team, templateId, hash, expiresAtMs: nowMs + TICKET_MS })
    return token
  }

  find(token: string): UploadTicket | undefined {
    for (const tickets of this.#byTeam.values()) {
      const ticket = tickets.get(token)
      if (ticket) return ticket.expiresAtMs >= this.#now() ? ticket : undefined
    }
    return undefined
  }

  remove(token: string): void {
    for (const tickets of this.#byTeam.values()) tickets.delete(token)
  }
}
