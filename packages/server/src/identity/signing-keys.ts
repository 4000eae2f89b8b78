import { SandlotError } from '@sandlot/protocol'
import { type CryptoKey, calculateJwkThumbprint, exportJWK, generateKeyPair, importJWK, type JWK } from 'jose'
import type { Vault } from '../secrets/vault.ts'
import type { IdentityKey, IdentityKeyRepository } from './repository.ts'
import { scheduleOf } from './schedule.ts'

export const ALGORITHM = 'ES256'
/** How long keys are held in memory before they are read again, as another process may have added one. */
const RELOAD_MS = 60_000

export interface SigningKeysOptions {
  repository: IdentityKeyRepository
  vault: Vault
  now: () => number
}

/** The present and the next keys for identity tokens, which follow one another (`schedule.ts`). */
export class SigningKeys {
  readonly #options: SigningKeysOptions
  #loaded: { keys: IdentityKey[]; atMs: number } | undefined
  #loading: Promise<IdentityKey[]> | undefined
  #imported: { kid: string; key: CryptoKey } | undefined

  constructor(options: SigningKeysOptions) {
    this.#options = options
  }

  /** @throws SandlotError secrets_unavailable, store_unavailable */
  async signing(): Promise<{ kid: string; key: CryptoKey }> {
    const found = scheduleOf(await this.#current(), this.#options.now()).signing!
    // a key that was sealed with a lost key of the vault cannot sign; its public part stays published for a while
    const usable = this.#options.vault.canOpen(found.sealed) ? found : await this.#replace(found)
    if (this.#imported?.kid !== usable.kid)
      this.#imported = { kid: usable.kid, key: await this.#import(usable) }
    return this.#imported
  }

  /** Public keys: those that sign, will sign soon, or have signed tokens that may still be valid. */
  async published(): Promise<JWK[]> {
    return (await this.#current()).map(({ publicKey }) => publicKey)
  }

  /** Keys of the database, after due changes were made. Concurrent callers share one read. */
  async #current(): Promise<IdentityKey[]> {
    const ageMs = this.#options.now() - (this.#loaded?.atMs ?? Number.NEGATIVE_INFINITY)
    if (this.#loaded && ageMs >= 0 && ageMs < RELOAD_MS) return this.#loaded.keys
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #load(): Promise<IdentityKey[]> {
    const { repository, now } = this.#options
    const atMs = now()
    let keys = await repository.list()
    const { next, outdated } = scheduleOf(keys, atMs)
    if (outdated !== undefined) await repository.deleteUpTo(outdated)
    if (next) await this.#createUnlessLocked(next, keys.length > 0)
    if (next || outdated !== undefined) keys = await repository.list()
    this.#loaded = { keys, atMs }
    return keys
  }

  /** @param isOptional earlier keys are there, which are published although none can be created now */
  async #createUnlessLocked(next: Pick<IdentityKey, 'sequence' | 'signsAtMs'>, isOptional: boolean) {
    try {
      await this.#create(next)
    } catch (error) {
      const isLocked = error instanceof SandlotError && error.errorName === 'secrets_unavailable'
      if (!isLocked || !isOptional) throw error
    }
  }

  async #replace(unusable: IdentityKey): Promise<IdentityKey> {
    const newest = this.#loaded!.keys.at(-1)!
    await this.#create({ sequence: newest.sequence + 1, signsAtMs: this.#options.now() })
    this.#loaded = undefined
    const found = scheduleOf(await this.#current(), this.#options.now()).signing!
    if (found.kid === unusable.kid)
      throw new SandlotError('secrets_unavailable', 'no key for identity tokens could be created')
    return found
  }

  async #create({ sequence, signsAtMs }: Pick<IdentityKey, 'sequence' | 'signsAtMs'>): Promise<void> {
    const { repository, vault, now } = this.#options
    const pair = await generateKeyPair(ALGORITHM, { extractable: true })
    const publicJwk = await exportJWK(pair.publicKey)
    const kid = await calculateJwkThumbprint(publicJwk)
    const bytes = Buffer.from(JSON.stringify(await exportJWK(pair.privateKey)))
    const sealed = await vault.seal(bytes, contextOf({ sequence, kid }))
    bytes.fill(0)
    const publicKey = { ...publicJwk, alg: ALGORITHM, use: 'sig', kid }
    await repository.insert({ sequence, kid, publicKey, signsAtMs, createdAtMs: now(), sealed })
  }

  async #import(key: IdentityKey): Promise<CryptoKey> {
    const bytes = this.#options.vault.open(key.sealed, contextOf(key))
    const jwk = JSON.parse(bytes.toString()) as JWK
    bytes.fill(0)
    return (await importJWK(jwk, ALGORITHM)) as CryptoKey
  }
}

/** What a private key is bound to, so that rows cannot be swapped. */
export const contextOf = ({ sequence, kid }: Pick<IdentityKey, 'sequence' | 'kid'>): string[] => [
  'identity key',
  String(sequence),
  kid,
]
