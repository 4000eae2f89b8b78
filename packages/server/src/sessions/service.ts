import { createHmac, randomBytes } from 'node:crypto'
import { DAY_MS, isApiKey, isMachineToken, newMachineToken, SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'
import { type ApiKeyRepository, insertSessionKey } from '../api-keys/repository.ts'
import { ACCESS_TOKEN_SECONDS, type AccessTokenSigner } from '../auth/access-token.ts'
import type { DeriveKey } from '../auth/server-secret.ts'
import type { Store } from '../store/open-store.ts'
import type { SessionRepository } from './repository.ts'
import type { Session, SessionKind } from './session.ts'

const BROWSER_SESSION_MS = 12 * 3600_000
const CLI_SESSION_MS = 30 * DAY_MS
/**
 * How long a used refresh token is still exchanged: concurrent commands of one CLI refresh at the same moment, and answers
 * get lost (RFC 9700, section 4.14.2, leaves the choice; hosted identity providers use 10 to 30 s).
 */
const REUSE_GRACE_MS = 10_000

export interface SessionServiceOptions {
  repository: SessionRepository
  keys: ApiKeyRepository
  signer: AccessTokenSigner
  deriveKey: DeriveKey
  /** Address of the only user, the administrator. */
  email: string
  logger: Logger
  now: () => number
  /** Called when credentials have been revoked, so that caches forget them. */
  onEnded: () => void
}

/** Credentials that the CLI stores. */
export interface Grant {
  accessToken: string
  refreshToken: string
  expiresInSeconds: number
}

/** Sessions of browsers (a cookie), the CLI (OAuth tokens) and machines (access tokens). */
export class SessionService {
  readonly email: string
  readonly #repository: SessionRepository
  readonly #keys: ApiKeyRepository
  readonly #signer: AccessTokenSigner
  readonly #apiKeySecret: Uint8Array
  readonly #logger: Logger
  readonly #now: () => number
  readonly #onEnded: () => void

  constructor(options: SessionServiceOptions) {
    this.email = options.email
    this.#repository = options.repository
    this.#keys = options.keys
    this.#signer = options.signer
    this.#apiKeySecret = options.deriveKey('sandlot API keys of sessions')
    this.#logger = options.logger
    this.#now = options.now
    this.#onEnded = options.onEnded
  }

  /**
   * Signs a browser in for 12 hours.
   * @param credential an API key, the token of a login link, or the whole link
   * @throws SandlotError unauthorized
   */
  async signIn(credential: string): Promise<{ cookie: string; expiresAtMs: number }> {
    const atMs = this.#now()
    const { teamId, by } = await this.#teamOf(credential.trim(), atMs)
    const cookie = randomSecret()
    const expiresAtMs = atMs + BROWSER_SESSION_MS
    const id = await this.#repository.create({
      kind: 'browser',
      teamId,
      name: 'browser',
      token: cookie,
      atMs,
      expiresAtMs,
    })
    this.#logger.info({ sessionId: id, by }, 'a browser has signed in')
    return { cookie, expiresAtMs }
  }

  /** @returns undefined when the cookie is not valid, or has expired */
  browserSession(cookie: string | undefined): Promise<Session | undefined> {
    return cookie ? this.#alive(this.#repository.findByToken('browser', cookie)) : Promise.resolve(undefined)
  }

  async signOut(cookie: string): Promise<void> {
    const session = await this.browserSession(cookie)
    if (session) await this.#end(session.id, 'a browser has signed out')
  }

  /** Creates a session for the CLI after the user's consent, which outlives the browser's session. */
  async grantCli(browser: Session, name: string): Promise<Grant> {
    const atMs = this.#now()
    const refreshToken = randomSecret()
    const date = new Date(atMs).toISOString().slice(0, 10)
    const id = await this.#create('cli', browser.team.teamId, {
      name,
      keyName: `CLI of ${date}`,
      token: refreshToken,
      atMs,
      expiresAtMs: atMs + CLI_SESSION_MS,
    })
    this.#logger.info({ sessionId: id, name }, 'the CLI has signed in')
    return this.#grant(id, refreshToken)
  }

  /**
   * Exchanges a refresh token; a token that is used twice ends the session.
   * @returns undefined when the token is not valid, or has expired
   */
  async refresh(refreshToken: string): Promise<Grant | undefined> {
    const atMs = this.#now()
    const next = randomSecret()
    const rotated = await this.#repository.rotate({
      used: refreshToken,
      next,
      atMs,
      expiresAtMs: atMs + CLI_SESSION_MS,
      graceMs: REUSE_GRACE_MS,
    })
    if (rotated.outcome === 'reused') {
      this.#onEnded()
      this.#logger.warn(
        { sessionId: rotated.sessionId },
        'a used refresh token was sent again: its session is ended',
      )
    }
    return rotated.outcome === 'rotated' ? this.#grant(rotated.session.id, next) : undefined
  }

  /** Ends the CLI session of a refresh or access token, with its other credentials; ignores unknown tokens. */
  async revoke(token: string): Promise<void> {
    const session =
      (await this.#repository.findByToken('cli', token)) ??
      (await this.#sessionOf((await this.#signer.verify(token))?.sessionId))
    if (session) await this.#end(session.id, 'the CLI has signed out')
  }

  /** @returns the token; only its hash is stored, so it cannot be shown again */
  async createMachineToken(
    teamId: string,
    name: string,
    expiresInDays: number,
  ): Promise<{ session: Session; token: string }> {
    const atMs = this.#now()
    const token = newMachineToken()
    const id = await this.#create('machine', teamId, {
      name,
      keyName: `access token ${name}`,
      token,
      atMs,
      expiresAtMs: atMs + expiresInDays * DAY_MS,
    })
    return { session: (await this.#repository.find(id))!, token }
  }

  machineTokens(teamId: string): Promise<Session[]> {
    return this.#repository.list(teamId, 'machine', this.#now())
  }

  /** @throws SandlotError not_found */
  async deleteMachineToken(teamId: string, id: string): Promise<void> {
    const session = await this.#repository.find(id)
    if (session?.kind !== 'machine' || session.team.teamId !== teamId)
      throw new SandlotError('not_found', `access token '${id}' does not exist in this team`)
    await this.#end(id, 'an access token was deleted')
  }

  /** Finds the session of a bearer token: a JWT of the CLI or a machine's access token. `expiresAtMs` is that of the token. */
  async findByBearer(bearer: string): Promise<Session | undefined> {
    if (isMachineToken(bearer)) return this.#alive(this.#repository.findByToken('machine', bearer))
    const claims = await this.#signer.verify(bearer)
    const session = await this.#sessionOf(claims?.sessionId)
    return session && { ...session, expiresAtMs: Math.min(session.expiresAtMs, claims!.expiresAtMs) }
  }

  /** Derives the API key of a session. Only hashes of keys are stored, so the key is computed again for each answer. */
  apiKeyOf(sessionId: string, teamId: string): string {
    const digest = createHmac('sha256', this.#apiKeySecret).update(`${sessionId} ${teamId}`).digest('hex')
    return `e2b_${digest.slice(0, 40)}`
  }

  prune(): Promise<number> {
    return this.#repository.prune(this.#now())
  }

  async #teamOf(credential: string, atMs: number): Promise<{ teamId: string; by: string }> {
    if (isApiKey(credential)) {
      const owner = await this.#keys.findOwner(credential)
      if (owner && (owner.expiresAtMs === null || owner.expiresAtMs > atMs))
        return { teamId: owner.team.teamId, by: `key ${owner.keyId}` }
      throw new SandlotError('unauthorized', 'This API key is not known here, or was deleted.')
    }
    const token = loginTokenOf(credential)
    const teamId = token && (await this.#repository.takeLoginLink(token, atMs))
    if (teamId) return { teamId, by: 'login link' }
    if (token)
      throw new SandlotError(
        'unauthorized',
        'This login link was used already or is older than ten minutes. Make another: sandlot login-link',
      )
    throw new SandlotError(
      'unauthorized',
      "This is neither an API key ('e2b_' and 40 hexadecimal characters) nor a login link.",
    )
  }

  #create(
    kind: SessionKind,
    teamId: string,
    made: { name: string; keyName: string; token: string; atMs: number; expiresAtMs: number },
  ): Promise<string> {
    const { name, keyName, token, atMs, expiresAtMs } = made
    const addKey = (store: Store, sessionId: string) =>
      insertSessionKey(store, {
        teamId,
        sessionId,
        name: keyName,
        key: this.apiKeyOf(sessionId, teamId),
        atMs,
      })
    return this.#repository.create({ kind, teamId, name, token, atMs, expiresAtMs }, addKey)
  }

  async #grant(sessionId: string, refreshToken: string): Promise<Grant> {
    const accessToken = await this.#signer.sign({ sessionId, email: this.email })
    return { accessToken, refreshToken, expiresInSeconds: ACCESS_TOKEN_SECONDS }
  }

  #sessionOf(id: string | undefined): Promise<Session | undefined> {
    return id === undefined ? Promise.resolve(undefined) : this.#alive(this.#repository.find(id))
  }

  async #alive(found: Promise<Session | undefined>): Promise<Session | undefined> {
    const session = await found
    return session && session.expiresAtMs > this.#now() ? session : undefined
  }

  async #end(sessionId: string, message: string): Promise<void> {
    await this.#repository.delete(sessionId)
    this.#onEnded()
    this.#logger.info({ sessionId }, message)
  }
}

const randomSecret = (): string => randomBytes(32).toString('base64url')

/** Users paste a login link as a whole, or only its token. */
function loginTokenOf(credential: string): string | undefined {
  const token = URL.canParse(credential) ? new URL(credential).searchParams.get('token') : credential
  return token && /^[A-Za-z0-9_-]{43}$/.test(token) ? token : undefined
}
