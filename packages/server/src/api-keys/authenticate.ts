import { hashSecret, isApiKey, SandlotError, secretsEqual } from '@sandlot/protocol'
import type { Team } from '../teams/team.ts'
import { TokenBuckets } from '../teams/token-bucket.ts'
import type { ApiKeyRepository, KeyOwner } from './repository.ts'

/** How long a deleted key or a changed plan may still be seen by another process. */
const CACHE_MS = 5_000
const MAX_CACHED = 10_000
const TOUCH_INTERVAL_MS = 60_000

export interface Caller {
  team: Team
  keyId: string
}

interface CachedOwner {
  owner: KeyOwner
  readAtMs: number
}

/** Finds the team behind a key, from memory for a few seconds; unknown keys are never cached. */
export class Authenticator {
  readonly #keys: ApiKeyRepository
  readonly #now: () => number
  readonly #cache = new Map<string, CachedOwner>()
  readonly #touchedAt = new Map<string, number>()
  readonly #requests: TokenBuckets
  readonly #creates: TokenBuckets

  constructor(keys: ApiKeyRepository, now: () => number) {
    this.#keys = keys
    this.#now = now
    this.#requests = new TokenBuckets(now)
    this.#creates = new TokenBuckets(now)
  }

  /** @throws SandlotError unauthorized, rate_limited */
  async authenticate(headers: { 'x-api-key'?: string | string[]; authorization?: string }): Promise<Caller> {
    const bearer = /^Bearer (\S+)$/i.exec(headers.authorization ?? '')?.[1]
    const key = headers['x-api-key'] ?? bearer
    if (typeof key !== 'string' || key === '')
      throw new SandlotError('unauthorized', 'the API key is missing: send it in the header X-API-KEY')
    if (!isApiKey(key))
      throw new SandlotError(
        'unauthorized',
        "the API key is malformed: it must be 'e2b_' and 40 hexadecimal characters",
      )
    const owner = await this.#owner(key)
    if (!owner)
      throw new SandlotError(
        'unauthorized',
        'the API key is not known here: make one with `sandlot keys create`',
      )
    const { requestsPerSecond } = owner.team.plan
    if (requestsPerSecond !== null) this.#limit(this.#requests, owner.keyId, requestsPerSecond, 'requests')
    return { team: owner.team, keyId: owner.keyId }
  }

  /** @throws SandlotError rate_limited */
  checkCreateRate(team: Team): void {
    const { createsPerSecond } = team.plan
    if (createsPerSecond !== null) this.#limit(this.#creates, team.teamId, createsPerSecond, 'new sandboxes')
  }

  forget(): void {
    this.#cache.clear()
  }

  #limit(buckets: TokenBuckets, key: string, perSecond: number, what: string): void {
    const waitSeconds = buckets.take(key, perSecond)
    if (waitSeconds > 0)
      throw new SandlotError('rate_limited', `too many ${what}: the plan allows ${perSecond} a second`, {
        retryAfterSeconds: waitSeconds,
      })
  }

  async #owner(key: string): Promise<KeyOwner | undefined> {
    const hash = hashSecret(key)
    const now = this.#now()
    const cached = this.#cache.get(hash)
    const owner = cached && now - cached.readAtMs < CACHE_MS ? cached.owner : await this.#keys.findOwner(key)
    if (!owner || !secretsEqual(owner.hash, hash)) {
      this.#cache.delete(hash)
      return undefined
    }
    if (owner !== cached?.owner) {
      if (this.#cache.size >= MAX_CACHED) this.#cache.clear()
      this.#cache.set(hash, { owner, readAtMs: now })
    }
    if (now - (this.#touchedAt.get(owner.keyId) ?? 0) >= TOUCH_INTERVAL_MS) {
      this.#touchedAt.set(owner.keyId, now)
      setImmediate(() => void this.#keys.touch(owner.keyId, now).catch(() => {}))
    }
    return owner
  }
}
