import { randomUUID } from 'node:crypto'
import { hashSecret } from '@sandlot/protocol'
import type { Store } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'
import { type TeamRow, teamColumns, toTeam } from '../teams/repository.ts'
import type { Session, SessionKind } from './session.ts'

export interface NewSession {
  kind: SessionKind
  teamId: string
  name: string
  /** Secret of the session; only its SHA-256 is stored. */
  token: string
  atMs: number
  expiresAtMs: number
}

export interface Rotation {
  used: string
  next: string
  atMs: number
  expiresAtMs: number
  /** How long a token is still exchanged after its first use. */
  graceMs: number
}

export type Rotated =
  | { outcome: 'rotated'; session: Session }
  | { outcome: 'unknown' }
  /** The token was used before, so it was probably copied. */
  | { outcome: 'reused'; sessionId: string }

/** Sessions and their secrets. Deleting the row of a session deletes its secrets and keys. */
export class SessionRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** @param beside further work in the same transaction */
  async create(
    { kind, teamId, name, token, atMs, expiresAtMs }: NewSession,
    beside: (transaction: Store, sessionId: string) => Promise<void> = async () => {},
  ): Promise<string> {
    const id = randomUUID()
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .insertInto('sessions')
        .values({ id, kind, team_id: teamId, name, created_at: atMs, expires_at: expiresAtMs })
        .execute()
      await insertToken(transaction, id, token, expiresAtMs)
      await beside(transaction, id)
    })
    return id
  }

  find(id: string): Promise<Session | undefined> {
    return findSession(this.#store, id)
  }

  /** Finds a session by one of its secrets, used or not, expired or not. */
  async findByToken(kind: SessionKind, token: string): Promise<Session | undefined> {
    const row = await this.#store
      .selectFrom('session_tokens')
      .select('session_id')
      .where('hash', '=', hashSecret(token))
      .executeTakeFirst()
    const session = row && (await this.find(row.session_id))
    return session?.kind === kind ? session : undefined
  }

  async list(teamId: string, kind: SessionKind, atMs: number): Promise<Session[]> {
    const rows = await sessionQuery(this.#store)
      .where('sessions.team_id', '=', teamId)
      .where('sessions.kind', '=', kind)
      .where('sessions.expires_at', '>', atMs)
      .orderBy('sessions.created_at')
      .execute()
    return rows.map(toSession)
  }

  /** Exchanges a refresh token for the next one, and extends the session. */
  rotate({ used, next, atMs, expiresAtMs, graceMs }: Rotation): Promise<Rotated> {
    const hash = hashSecret(used)
    return inTransaction(
      this.#store,
      async (transaction) => {
        const token = await transaction
          .selectFrom('session_tokens')
          .selectAll()
          .where('hash', '=', hash)
          .where('expires_at', '>', atMs)
          .executeTakeFirst()
        const session = token && (await findSession(transaction, token.session_id))
        if (!token || session?.kind !== 'cli') return { outcome: 'unknown' }
        if (token.used_at !== null && atMs - token.used_at > graceMs) {
          await transaction.deleteFrom('sessions').where('id', '=', session.id).execute()
          return { outcome: 'reused', sessionId: session.id }
        }
        if (token.used_at === null)
          await transaction
            .updateTable('session_tokens')
            .set({ used_at: atMs })
            .where('hash', '=', hash)
            .execute()
        await insertToken(transaction, session.id, next, expiresAtMs)
        await transaction
          .updateTable('sessions')
          .set({ expires_at: expiresAtMs })
          .where('id', '=', session.id)
          .execute()
        return { outcome: 'rotated', session: { ...session, expiresAtMs } }
      },
      'serializable',
    )
  }

  async delete(id: string): Promise<boolean> {
    const result = await this.#store.deleteFrom('sessions').where('id', '=', id).executeTakeFirst()
    return result.numDeletedRows > 0n
  }

  /** @param token valid until `expiresAtMs`, for one `takeLoginLink` */
  async addLoginLink(token: string, teamId: string, expiresAtMs: number): Promise<void> {
    await this.#store
      .insertInto('login_links')
      .values({ hash: hashSecret(token), team_id: teamId, expires_at: expiresAtMs })
      .execute()
  }

  /** @returns the team that the link signs in to; undefined the second time */
  async takeLoginLink(token: string, atMs: number): Promise<string | undefined> {
    const row = await this.#store
      .deleteFrom('login_links')
      .where('hash', '=', hashSecret(token))
      .where('expires_at', '>', atMs)
      .returning('team_id')
      .executeTakeFirst()
    return row?.team_id
  }

  /** Deletes expired rows. @returns how many */
  async prune(atMs: number): Promise<number> {
    let count = 0
    for (const table of ['sessions', 'session_tokens', 'login_links'] as const) {
      const result = await this.#store.deleteFrom(table).where('expires_at', '<=', atMs).executeTakeFirst()
      count += Number(result.numDeletedRows)
    }
    return count
  }
}

async function insertToken(
  store: Store,
  sessionId: string,
  token: string,
  expiresAtMs: number,
): Promise<void> {
  await store
    .insertInto('session_tokens')
    .values({ hash: hashSecret(token), session_id: sessionId, expires_at: expiresAtMs, used_at: null })
    .execute()
}

const sessionQuery = (store: Store) =>
  store
    .selectFrom('sessions')
    .innerJoin('teams', 'teams.id', 'sessions.team_id')
    .innerJoin('plans', 'plans.name', 'teams.plan')
    .select(teamColumns)
    .select(['sessions.id', 'sessions.kind', 'sessions.name', 'sessions.created_at', 'sessions.expires_at'])

async function findSession(store: Store, id: string): Promise<Session | undefined> {
  const row = await sessionQuery(store).where('sessions.id', '=', id).executeTakeFirst()
  return row && toSession(row)
}

const toSession = (
  row: TeamRow & { id: string; kind: SessionKind; name: string; created_at: number; expires_at: number },
): Session => ({
  id: row.id,
  kind: row.kind,
  team: toTeam(row),
  name: row.name,
  createdAtMs: row.created_at,
  expiresAtMs: row.expires_at,
})
