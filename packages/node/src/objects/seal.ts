import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
/** As NIST SP 800-38D recommends for GCM. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const SALT_BYTES = 16

/** Before each sealed object: tells ours from what somebody else, or an earlier version, put there. */
const MAGIC = Buffer.from('SLB1')
const HEADER_BYTES = MAGIC.length + SALT_BYTES + NONCE_BYTES
/** What sealing adds to an object. */
export const SEAL_BYTES = HEADER_BYTES + TAG_BYTES

/** Bytes are not what was sealed under this name with this key; nothing of them may be used. */
export class BrokenSeal extends Error {
  constructor(detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'BrokenSeal'
  }
}

/** A key for one purpose (HKDF, RFC 5869): what is known of one says nothing about another. */
export const deriveKey = (secret: string, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, '', purpose, KEY_BYTES))

/** Public name of a key. */
export const keyIdOf = (key: Uint8Array): string =>
  createHmac('sha256', key).update('id').digest('hex').slice(0, 16)

/** AES-256-GCM. @returns ciphertext and tag behind `header`, which is not protected */
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

/** @throws Error when a single bit of key, nonce, `boundTo` or content is another than with `encrypt` */
export function decrypt(key: Uint8Array, nonce: Uint8Array, boundTo: string, sealed: Uint8Array): Buffer {
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(boundTo))
    .setAuthTag(sealed.subarray(-TAG_BYTES))
  const plain = decipher.update(sealed.subarray(0, -TAG_BYTES))
  // checks the tag; GCM has nothing left to give out here
  decipher.final()
  return plain
}

export const newNonce = (): Buffer => randomBytes(NONCE_BYTES)

/**
 * Seals objects for a place whose owner is not trusted: nobody without the secret can read one, change one, or put one
 * in the place of another. Each object gets a key of its own, from 16 random bytes that lie beside it, so the number of
 * objects is no concern (docs/adr/0022).
 *
 * @example
 * const seal = new Seal(secret)
 * const plain = seal.open('checkpoints/a.json', seal.close('checkpoints/a.json', manifest))
 */
export class Seal {
  /** Public: tells objects of one secret from those of another. */
  readonly keyId: string
  readonly #contentKey: Uint8Array
  readonly #nameKey: Uint8Array

  constructor(secret: string) {
    this.#contentKey = deriveKey(secret, 'sandlot bucket objects')
    this.#nameKey = deriveKey(secret, 'sandlot bucket names')
    this.keyId = keyIdOf(this.#contentKey)
  }

  /** The same name for the same content, from which nobody without the secret can tell the content. */
  blind(sha256: string): string {
    return createHmac('sha256', this.#nameKey).update(sha256).digest('hex')
  }

  /** @param name where it will lie; it can be opened nowhere else */
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
