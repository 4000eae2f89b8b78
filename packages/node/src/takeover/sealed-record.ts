import { SandlotError } from '@sandlot/protocol'
import { decrypt, deriveKey, encrypt, keyIdOf, newNonce } from '../objects/seal.ts'

const FORMAT = 1

/** Stored form of a record, of which only the format can be read without the secret. */
interface Sealed {
  format: number
  /** Distinguishes a wrong secret from a damaged record. */
  keyId: string
  nonce: string
  /** Ciphertext, then the tag. */
  content: string
}

/**
 * Seals records of sandboxes, which contain their tokens, for a bucket: AES-256-GCM with a key derived from a secret that
 * all machines of one administrator share (HKDF, RFC 5869). A record is bound to its name.
 *
 * @example
 * const seal = new RecordSeal(secret)
 * const record = seal.open('ix2k…', seal.close('ix2k…', { state: 'paused' }))
 */
export class RecordSeal {
  readonly #key: Uint8Array
  readonly #keyId: string

  constructor(secret: string) {
    this.#key = deriveKey(secret, 'sandlot sandbox records')
    this.#keyId = keyIdOf(this.#key)
  }

  close(name: string, record: unknown): Buffer {
    const nonce = newNonce()
    const content = encrypt(this.#key, nonce, boundTo(name), Buffer.from(JSON.stringify(record)))
    const sealed: Sealed = {
      format: FORMAT,
      keyId: this.#keyId,
      nonce: nonce.toString('base64'),
      content: content.toString('base64'),
    }
    return Buffer.from(JSON.stringify(sealed))
  }

  /** @throws SandlotError forbidden: another secret, invalid_request: another format, checkpoint_damaged */
  open(name: string, bytes: Uint8Array): unknown {
    const { format, keyId, nonce, content } = parse(name, bytes)
    if (format !== FORMAT)
      throw new SandlotError(
        'invalid_request',
        `the record of sandbox '${name}' has the format ${JSON.stringify(format)}, this version reads ${FORMAT}: use the version of Sandlot that wrote it, or a later one`,
      )
    if (keyId !== this.#keyId)
      throw new SandlotError(
        'forbidden',
        `the record of sandbox '${name}' was sealed with another secret: set checkpointSecret to that of the machine that wrote it`,
      )
    try {
      const [iv, sealed] = [Buffer.from(nonce!, 'base64'), Buffer.from(content!, 'base64')]
      return JSON.parse(decrypt(this.#key, iv, boundTo(name), sealed).toString('utf8'))
    } catch (cause) {
      throw damaged(name, 'is not what was written', cause)
    }
  }
}

function parse(name: string, bytes: Uint8Array): Partial<Sealed> {
  try {
    return Object(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch (cause) {
    throw damaged(name, `is not JSON (${(cause as Error).message})`, cause)
  }
}

const boundTo = (name: string): string => `${FORMAT} ${name}`

const damaged = (name: string, detail: string, cause: unknown): SandlotError =>
  new SandlotError('checkpoint_damaged', `the record of sandbox '${name}' ${detail}`, { cause })
