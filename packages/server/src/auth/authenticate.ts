import { DAY_MS, hashSecret, isApiKey, SandlotError, secretsEqual } from '@sandlot/protocol'
import type { ApiKeyRepository } from '../api-keys/repository.ts'
import { senderOf } from '../http/sender.ts'
import type { SessionService } from '../sessions/service.ts'
import type { Team } from '../teams/team.ts'
import { checkTeamId } from '../teams/team-id.ts'
import { TokenBuckets } from '../teams/token-bucket.ts'

/**
 * How long this process may still accept a key that another process deleted, or apply a plan that another process
 * changed.
 */
const CACHE_MS = 5_000
const MAX_CACHED = 10_000
const TOUCH_INTERVAL_MS = 60_000
/** Wrong keys per address that are checked; generous, because many users may share an address behind a router. */
const WRONG_PER_SECOND = 20
const WRONG_BURST = 200
/** How long a key that was valid is still looked up while the sender's address is blocked for guessing. */
const GOOD_MS = DAY_MS

export interface Caller {
  team: Team
  /** The credential that a caller sent: rates are counted by its id, and `GET /teams` returns its key. */
  credential: { kind: 'key'; id: string; key: string } | { kind: 'session'; id: string }
}

interface Credential {
  caller: Caller
  expiresAtMs: number | null
}

export interface CredentialHeaders {
  'x-api-key'?: string | string[]
  'x-team-id'?: string | string[]
  authorization?: string
}

/** Finds the team of an API key or bearer token. Valid credentials are cached for a few seconds, invalid ones never. */
export class Authenticator {
  readonly #keys: ApiKeyRepository
  readonly #sessions: () => SessionService
  readonly #now: () => number
  readonly #cache = new Map<string, Credential & { readAtMs: number }>()
  readonly #touchedAt = new Map<string, number>()
  readonly #wrong: TokenBuckets
  /** When each credential was last valid, by hash, the oldest first. */
  readonly #goodAt = new Map<string, number>()

  /** @param sessions a function, because sessions and authenticator need each other */
  constructor(keys: ApiKeyRepository, sessions: () => SessionService, now: () => number) {
    this.#keys = keys
    this.#sessions = sessions
    this.#now = now
    this.#wrong = new TokenBuckets(now)
  }

  /**
   * @param address address of the sender, undefined once the connection has closed; after too many guesses only
   * credentials that were valid recently are checked
   * @throws SandlotError unauthorized, forbidden, rate_limited
   */
  async authenticate(headers: CredentialHeaders, address: string | undefined): Promise<Caller> {
    const bearer = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1]
    const key = headers['x-api-key'] ?? (bearer && isApiKey(bearer) ? bearer : undefined)
    const isBearer = key === undefined && bearer !== undefined
    const sender = senderOf(address)
    if (sender !== undefined) this.#checkGuessing(sender, String(isBearer ? bearer : key))
    const finding = isBearer ? this.#byBearer(bearer) : this.#byKey(key)
    const caller = await finding.catch((error) => {
      if (sender !== undefined && error instanceof SandlotError && error.errorName === 'unauthorized')
        this.#wrong.take(sender, WRONG_PER_SECOND, WRONG_BURST)
      throw error
    })
    const { team, credential } = caller
    const teamId = headers['x-team-id']
    if (credential.kind === 'session') checkTeamId(team, teamId === undefined ? undefined : String(teamId))
    return caller
  }

  /** Beyond the limit, only credentials that were valid recently are looked up. */
  #checkGuessing(sender: string, secret: string): void {
    const waitSeconds = this.#wrong.waitSeconds(sender, WRONG_PER_SECOND, WRONG_BURST)
    if (waitSeconds === 0 || this.#now() - (this.#goodAt.get(hashSecret(secret)) ?? 0) < GOOD_MS) return
    throw new SandlotError(
      'rate_limited',
      `too many wrong keys from your address: at most ${WRONG_PER_SECOND} a second are checked`,
      { retryAfterSeconds: waitSeconds },
    )
  }

  forget(): void {
    this.#cache.clear()
  }

  async #byKey(key: string | string[] | undefined): Promise<Caller> {
    if (typeof key !== 'string' || key === '')
      throw new SandlotError('unauthorized', 'the API key is missing: send it in the header X-API-KEY')
    if (!isApiKey(key))
      throw new SandlotError(
        'unauthorized',
        "the API key is malformed: it must be 'e2b_' and 40 hexadecimal characters",
      )
    const caller = await this.#find(key, async (hash) => {
      const owner = await this.#keys.findOwner(key)
      if (!owner || !secretsEqual(owner.hash, hash)) return undefined
      const { keyId: id, team, expiresAtMs } = owner
      return { caller: { team, credential: { kind: 'key', id, key } }, expiresAtMs }
    })
    if (!caller)
      throw new SandlotError(
        'unauthorized',
        'the API key is not known here: make one with `sandlot keys create`',
      )
    this.#touch(caller.credential.id)
    return caller
  }

  async #byBearer(bearer: string): Promise<Caller> {
    const caller = await this.#find(bearer, async () => {
      const session = await this.#sessions().findByBearer(bearer)
      if (!session) return undefined
      const { id, team, expiresAtMs } = session
      return { caller: { team, credential: { kind: 'session', id } }, expiresAtMs }
    })
    if (!caller)
      throw new SandlotError(
        'unauthorized',
        'the access token is not valid here, or has expired: sign in with `e2b auth login`, or make another one',
      )
    return caller
  }

  async #find(
    secret: string,
    look: (hash: string) => Promise<Credential | undefined>,
  ): Promise<Caller | undefined> {
    const hash = hashSecret(secret)
    const now = this.#now()
    const isGood = ({ expiresAtMs }: Credential) => expiresAtMs === null || expiresAtMs > now
    const cached = this.#cache.get(hash)
    if (cached && now - cached.readAtMs < CACHE_MS && isGood(cached)) return cached.caller
    const found = await look(hash)
    if (!found || !isGood(found)) {
      this.#cache.delete(hash)
      this.#goodAt.delete(hash)
      return undefined
    }
    if (this.#cache.size >= MAX_CACHED) this.#cache.clear()
    this.#cache.set(hash, { ...found, readAtMs: now })
    this.#goodAt.delete(hash)
    this.#goodAt.set(hash, now)
    if (this.#goodAt.size > MAX_CACHED) this.#goodAt.delete(this.#goodAt.keys().next().value!)
    return found.caller
  }

  #touch(keyId: string): void {
    const now = this.#now()
    if (now - (this.#touchedAt.get(keyId) ?? 0) < TOUCH_INTERVAL_MS) return
    this.#touchedAt.set(keyId, now)
    setImmediate(() => void this.#keys.touch(keyId, now).catch(() => {}))
  }
}
