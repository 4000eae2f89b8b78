import { hkdfSync, randomBytes } from 'node:crypto'
import type { Store } from '../store/open-store.ts'
import { storedSecret } from '../store/stored-secret.ts'

const NAME = 'sessions'
const KEY_BYTES = 32

/** Derives keys that only this server holds, one for each purpose, from one secret in the database (HKDF, RFC 5869). */
export type DeriveKey = (purpose: string) => Uint8Array

/** Creates the secret at the first start; concurrent processes get the same secret. */
export async function openServerSecret(store: Store): Promise<DeriveKey> {
  const value = await storedSecret(store, NAME, randomBytes(KEY_BYTES).toString('hex'))
  const secret = Buffer.from(value, 'hex')
  return (purpose) => new Uint8Array(hkdfSync('sha256', secret, '', purpose, KEY_BYTES))
}
