import type { JWK } from 'jose'
import type { Sealed } from '../secrets/vault.ts'
import type { Store } from '../store/open-store.ts'

/** A key that signs identity tokens, with its encrypted private part. */
export interface IdentityKey {
  /** 1 for the first key of a database, and 1 more for each further one. */
  sequence: number
  /** Thumbprint of the public key (RFC 7638), the header `kid` of tokens. */
  kid: string
  publicKey: JWK
  /** The key signs from this time on, until the next one does. */
  signsAtMs: number
  createdAtMs: number
  sealed: Sealed
}

/** Keys that sign identity tokens; all servers of a database use the same ones. */
export class IdentityKeyRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async list(): Promise<IdentityKey[]> {
    const rows = await this.#store.selectFrom('identity_keys').selectAll().orderBy('sequence').execute()
    return rows.map((row) => ({
      sequence: row.sequence,
      kid: row.kid,
      publicKey: JSON.parse(row.public_key) as JWK,
      signsAtMs: row.signs_at,
      createdAtMs: row.created_at,
      sealed: { keyId: row.key_id, value: row.private_key },
    }))
  }

  /** Does nothing when another process has inserted a key with this sequence number already. */
  async insert(key: IdentityKey): Promise<void> {
    await this.#store
      .insertInto('identity_keys')
      .values({
        sequence: key.sequence,
        kid: key.kid,
        public_key: JSON.stringify(key.publicKey),
        signs_at: key.signsAtMs,
        created_at: key.createdAtMs,
        key_id: key.sealed.keyId,
        private_key: key.sealed.value,
      })
      .onConflict((conflict) => conflict.column('sequence').doNothing())
      .execute()
  }

  async deleteUpTo(sequence: number): Promise<void> {
    await this.#store.deleteFrom('identity_keys').where('sequence', '<=', sequence).execute()
  }
}
