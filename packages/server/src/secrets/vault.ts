import { SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { Store } from '../store/open-store.ts'
import { storedSecret } from '../store/stored-secret.ts'
import { keyIdOf, type SecretsKeySource } from './key-source.ts'
import { openValue, sealValue } from './sealed-value.ts'

/** Name of the row of `server_secrets` with the id of the key that values are sealed with. */
export const KEY_CHECK = 'secrets_key'

/** A sealed value as it is stored. */
export interface Sealed {
  keyId: string
  value: string
}

/**
 * Seals and opens the values that are stored encrypted, with the keys of one source. When these cannot be used, the server
 * runs all the same, and every call says so (503).
 */
export class Vault {
  readonly #store: Store
  readonly #source: SecretsKeySource
  readonly #keys = new Map<string, Uint8Array>()
  /** Id of the key that seals new values; undefined until the first value is sealed. */
  #current: string | undefined
  /** Why no key can be used, for the administrator. */
  #problem: string | undefined

  private constructor(store: Store, source: SecretsKeySource) {
    this.#store = store
    this.#source = source
  }

  /** Compares the keys with the id in the database, so that a wrong key is noticed at the start and logged. */
  static async open(store: Store, source: SecretsKeySource, logger: Logger): Promise<Vault> {
    const vault = new Vault(store, source)
    vault.#problem = await vault.#load()
    if (vault.#problem !== undefined)
      logger.error(
        `secrets cannot be used, everything else can: ${vault.#problem}. Restart the server afterwards`,
      )
    return vault
  }

  /** @param context what the value belongs to @throws SandlotError secrets_unavailable */
  async seal(value: Uint8Array, context: readonly string[]): Promise<Sealed> {
    this.#check()
    const keyId = this.#current ?? (await this.#begin())
    return { keyId, value: sealValue(value, this.#keys.get(keyId)!, context) }
  }

  /**
   * @param context as it was given to `seal`
   * @returns the value; callers overwrite it (`fill(0)`) after use
   * @throws SandlotError secrets_unavailable
   */
  open({ keyId, value }: Sealed, context: readonly string[]): Buffer {
    this.#check()
    const key = this.#keys.get(keyId)
    if (!key) throw unavailable()
    try {
      return openValue(value, key, context)
    } catch (cause) {
      throw new SandlotError(
        'secrets_unavailable',
        'this secret cannot be decrypted: its row in the database was changed. Give it a new value, or delete it',
        { cause },
      )
    }
  }

  /** Whether the key is known that a value was sealed with. @throws SandlotError secrets_unavailable: no key is */
  canOpen({ keyId }: Pick<Sealed, 'keyId'>): boolean {
    this.#check()
    return this.#keys.has(keyId)
  }

  /** @returns what is wrong */
  async #load(): Promise<string | undefined> {
    let keys: Uint8Array[]
    try {
      keys = this.#source.read()
    } catch (error) {
      if (error instanceof SandlotError) return error.message
      throw error
    }
    for (const key of keys) this.#keys.set(keyIdOf(key), key)
    const expected = await this.#expectedKeyId()
    if (expected === undefined) return undefined
    if (this.#keys.has(expected)) {
      this.#current = keyIdOf(keys[0]!)
      return undefined
    }
    if (!(await this.#hasSecrets())) {
      await this.#store.deleteFrom('server_secrets').where('name', '=', KEY_CHECK).execute()
      return undefined
    }
    const { place } = this.#source
    const lost = 'If it is lost, delete all secrets (`e2b secret delete`), which needs no key'
    if (keys.length === 0)
      return `the key that secrets are encrypted with is missing: restore it as ${place}. ${lost}`
    return `the key in ${place} is not the one that the secrets in the database are encrypted with: restore that one. ${lost}`
  }

  async #hasSecrets(): Promise<boolean> {
    const query = this.#store.selectFrom('secrets').select('id').limit(1)
    return (await query.executeTakeFirst()) !== undefined
  }

  /** @returns the id of the key that values in the database were sealed with; undefined when there is none */
  async #expectedKeyId(): Promise<string | undefined> {
    const row = await this.#store
      .selectFrom('server_secrets')
      .select('value')
      .where('name', '=', KEY_CHECK)
      .executeTakeFirst()
    return row?.value
  }

  /** Makes the key at the first use, and records its id. Concurrent callers and processes agree on one key. */
  async #begin(): Promise<string> {
    const keys = this.#source.make()
    const keyId = keyIdOf(keys[0]!)
    const agreed = await storedSecret(this.#store, KEY_CHECK, keyId)
    for (const key of keys) this.#keys.set(keyIdOf(key), key)
    if (!this.#keys.has(agreed)) {
      this.#problem = `another server of this database made a key meanwhile: copy that key to ${this.#source.place}`
      throw unavailable()
    }
    this.#current = keyId
    return keyId
  }

  #check(): void {
    if (this.#problem !== undefined) throw unavailable()
  }
}

/** Says nothing about the key, as all users see it; the server's log does. */
const unavailable = (): SandlotError =>
  new SandlotError(
    'secrets_unavailable',
    'secrets cannot be used now: the administrator of this server must restore the key that they are encrypted with; the log of the server says more',
  )
