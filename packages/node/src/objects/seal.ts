import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
/** Length that NIST SP 800-38D recommends for GCM. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const SALT_BYTES = 16

/** Prefix of sealed objects, which distinguishes them from objects of other programs or earlier versions. */
const MAGIC = Buffer.from('SLB1')
const HEADER_BYTES = MAGIC.length + SALT_BYTES + NONCE_BYTES
/** Bytes that sealing adds to an object. */
export const SEAL_BYTES = HEADER_BYTES + TAG_BYTES

/** Error for bytes that were not sealed under this name with this key; no part of them may be used. */
export class BrokenSeal extends Error {
  constructor(detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'BrokenSeal'
  }
}

/** Derives a key for one purpose (HKDF, RFC 5869), which reveals nothing about the keys of other purposes. */
export const deriveKey = (secret: string, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, '', purpose, KEY_BYTES))

/** Returns a name for a key; the name is not secret. */
export const keyIdOf = (key: Uint8Array): string =>
  createHmac('sha256', key).update('id').digest('hex').slice(0, 16)

/** Encrypts with AES-256-GCM. @returns `header`, which is not protected, then ciphertext and tag */
export function encrypt(
  key: Uint8Array,
  nonce: Uint8Array,
  boundTo: string,
  plain: Uint8Array,
  header: Uint8Array[] = [],
): Buffer {
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(boundTo))
  return Buffer.concat([...header, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** @throws Error when a single bit of key, nonce, `boundTo` or content differs from those of `encrypt` */
export function decrypt(key: Uint8Array, nonce: Uint8Array, boundTo: string, sealed: Uint8Array): Buffer {
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(boundTo))
    .setAuthTag(sealed.subarray(-TAG_BYTES))
  const plain = decipher.update(sealed.subarray(0, -TAG_BYTES))
  // verifies the tag; GCM returns no further bytes here
  decipher.final()
  return plain
}

export const newNonce = (): Buffer => randomBytes(NONCE_BYTES)

/**
 * Seals objects for storage with an untrusted owner: without the secret nobody can read an object, change it, or replace
 * another object with it. Each object has its own key, derived from 16 random bytes stored with it, so the number of
 * objects is not limited (docs/adr/0022).
 *
 * @example
 * const seal = new Seal(secret)
 * const plain = seal.open('checkpoints/a.json', seal.close('checkpoints/a.json', manifest))
 */
export class Seal {
  /** Not secret: distinguishes objects of one secret from those of another. */
  readonly keyId: string
  readonly #contentKey: Uint8Array
  readonly #nameKey: Uint8Array

  constructor(secret: string) {
    this.#contentKey = deriveKey(secret, 'sandlot bucket objects')
    this.#nameKey = deriveKey(secret, 'sandlot bucket names')
    this.keyId = keyIdOf(this.#contentKey)
  }

  /** Maps equal content to equal names that reveal nothing about the content without the secret. */
  blind(sha256: string): string {
    return createHmac('sha256', this.#nameKey).update(sha256).digest('hex')
  }

  /** @param name key of the object, which can only be opened under this key */
  close(name: string, plain: Uint8Array): Buffer {
    const salt = randomBytes(SALT_BYTES)
    const nonce = newNonce()
    return encrypt(this.#keyOf(salt), nonce, name, plain, [MAGIC, salt, nonce])
  }

  /** @throws BrokenSeal */
  open(name: string, bytes: Buffer): Buffer {
    if (bytes.length < SEAL_BYTES)
      throw new BrokenSeal(`has ${bytes.length} bytes; the smallest sealed object has ${SEAL_BYTES}`)
    if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new BrokenSeal('is not sealed')
    const salt = bytes.subarray(MAGIC.length, MAGIC.length + SALT_BYTES)
    const nonce = bytes.subarray(MAGIC.length + SALT_BYTES, HEADER_BYTES)
    try {
      return decrypt(this.#keyOf(salt), nonce, name, bytes.subarray(HEADER_BYTES))
    } catch (cause) {
      throw new BrokenSeal('is not what was written there', { cause })
    }
  }

  #keyOf(salt: Uint8Array): Buffer {
    return createHmac('sha256', this.#contentKey).update(salt).digest()
  }
}
