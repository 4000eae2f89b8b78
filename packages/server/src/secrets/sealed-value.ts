import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Encrypts a value with AES-256-GCM and a random nonce.
 * @param key 32 bytes
 * @param context what the value belongs to; it can only be opened with an equal context, so that rows of a database
 * cannot be swapped
 * @returns base64 of nonce, tag and ciphertext
 */
export function sealValue(value: Uint8Array, key: Uint8Array, context: readonly string[]): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(encode(context))
  const sealed = [cipher.update(value), cipher.final()]
  return Buffer.concat([nonce, cipher.getAuthTag(), ...sealed]).toString('base64')
}

/**
 * @returns the value; callers overwrite it (`fill(0)`) after use
 * @throws Error when the key or the context is wrong, or the text was changed
 */
export function openValue(text: string, key: Uint8Array, context: readonly string[]): Buffer {
  const bytes = Buffer.from(text, 'base64')
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(encode(context))
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
  const opened = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES))
  // in this mode of the cipher the final part is empty; it only checks the tag
  decipher.final()
  return opened
}

/** JSON keeps parts apart that would be equal when they are joined. */
const encode = (context: readonly string[]): Buffer => Buffer.from(JSON.stringify(context))
