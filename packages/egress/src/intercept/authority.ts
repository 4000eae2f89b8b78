import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import {
  type CertificateAuthority,
  createOnce,
  excludingConstraints,
  exportKeyPem,
  issueAuthority,
  issueLeaf,
  newKeys,
  readAuthority,
  readIfThere,
  readKeyPem,
  replace,
} from '@sandlot/certificates'
import { DAY_MS, SandlotError } from '@sandlot/protocol'

/** Running sandboxes trust the authority that they were given, so a new one is rare. */
const CA_DAYS = 3_650
/** From this time on, guests are given the next authority beside the current one. */
const ANNOUNCE_NEXT_DAYS = 365
/** From this time on, the next authority signs. */
const USE_NEXT_DAYS = 30
const LEAF_DAYS = 7
const RENEW_LEAF_BEFORE_MS = 2 * DAY_MS
const MAX_LEAVES = 512
const CHECK_MS = DAY_MS

export interface EgressAuthority {
  /** PEM of the certificates that guests must trust: the authority's, and the next one's when one is due. */
  caBundle(): string
  /** Returns what a server of this name shows to sandboxes. @param name lower-case, no address */
  contextFor(name: string): Promise<SecureContext>
}

interface CachedContext {
  context: Promise<SecureContext>
  renewAtMs: number
}

/**
 * Opens the authority that TLS of sandboxes is intercepted with, and creates one at first use. `egress.pem` in `directory`
 * has the key and the certificate. Two processes that start concurrently end up with one authority.
 * @throws SandlotError internal_server_error: the file is damaged; disk errors are in `cause`
 */
export async function openEgressAuthority(
  directory: string,
  now: () => number = Date.now,
): Promise<EgressAuthority> {
  const authority = new FileAuthority(directory, now)
  await authority.open()
  return authority
}

class FileAuthority implements EgressAuthority {
  readonly #path: string
  readonly #nextPath: string
  readonly #directory: string
  readonly #now: () => number
  readonly #contexts = new Map<string, CachedContext>()
  #leafKeys!: CryptoKeyPair
  #current!: CertificateAuthority
  #next: CertificateAuthority | undefined
  #checkedAtMs = 0

  constructor(directory: string, now: () => number) {
    this.#directory = directory
    this.#path = join(directory, 'egress.pem')
    this.#nextPath = join(directory, 'egress-next.pem')
    this.#now = now
  }

  /** Must be called once, before anything else. */
  async open(): Promise<void> {
    this.#leafKeys = await newKeys()
    await this.#load()
  }

  caBundle(): string {
    return [this.#current, this.#next]
      .filter((authority) => authority !== undefined)
      .map(({ certificate }) => `${certificate.toString('pem').trim()}\n`)
      .join('')
  }

  contextFor(name: string): Promise<SecureContext> {
    const cached = this.#contexts.get(name)
    this.#contexts.delete(name)
    if (cached && cached.renewAtMs > this.#now()) {
      this.#contexts.set(name, cached)
      return cached.context
    }
    const context = this.#issue(name)
    this.#contexts.set(name, { context, renewAtMs: this.#now() + LEAF_DAYS * DAY_MS - RENEW_LEAF_BEFORE_MS })
    context.catch(() => this.#contexts.delete(name))
    const [oldest] = this.#contexts.keys()
    if (this.#contexts.size > MAX_LEAVES && oldest !== undefined) this.#contexts.delete(oldest)
    return context
  }

  async #issue(name: string): Promise<SecureContext> {
    if (this.#now() - this.#checkedAtMs > CHECK_MS) await this.#load()
    const { certificatePem, keyPem } = await issueLeaf(this.#current, [name], this.#now(), {
      keys: this.#leafKeys,
      days: LEAF_DAYS,
    })
    return createSecureContext({ cert: certificatePem, key: keyPem, minVersion: 'TLSv1.2' })
  }

  /** Reads the authority, and makes or uses the next one when it is time. */
  async #load(): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true })
      this.#checkedAtMs = this.#now()
      this.#current = await this.#readOrMake(this.#path)
      this.#next = undefined
      if (this.#daysLeft() > ANNOUNCE_NEXT_DAYS) return
      this.#next = await this.#readOrMake(this.#nextPath)
      // left by a process that ended between the two steps below
      if (this.#next.certificate.notAfter <= this.#current.certificate.notAfter) {
        await replace(this.#nextPath, await this.#make(), 0o600)
        this.#next = await this.#readOrMake(this.#nextPath)
      }
      if (this.#daysLeft() > USE_NEXT_DAYS) return
      this.#current = this.#next
      this.#next = undefined
      await replace(this.#path, await pemOf(this.#current), 0o600)
      await rm(this.#nextPath, { force: true })
    } catch (error) {
      throw new SandlotError(
        'internal_server_error',
        `the authority of the way out, ${this.#path}, cannot be used: ${(error as Error).message}; remove the file to make a new one, which sandboxes trust after their next start or resume`,
        { cause: error },
      )
    }
  }

  #daysLeft(): number {
    return (this.#current.certificate.notAfter.getTime() - this.#now()) / DAY_MS
  }

  async #readOrMake(path: string): Promise<CertificateAuthority> {
    const pem = (await readIfThere(path)) ?? (await createOnce(path, await this.#make(), 0o600))
    const [key, certificate] = [partOf(pem, 'PRIVATE KEY'), partOf(pem, 'CERTIFICATE')]
    if (!key || !certificate) throw new Error('the file has no key or no certificate')
    return readAuthority(certificate, await readKeyPem(key))
  }

  async #make(): Promise<string> {
    return pemOf(
      await issueAuthority(
        await newKeys(),
        {
          name: 'Sandlot egress CA',
          days: CA_DAYS,
          // The names of servers are not known before a sandbox asks for them, but no rule names an address.
          constraints: excludingConstraints({ dns: ['localhost'] }),
        },
        this.#now(),
      ),
    )
  }
}

const pemOf = async ({ certificate, keys }: CertificateAuthority): Promise<string> =>
  `${await exportKeyPem(keys.privateKey)}${certificate.toString('pem').trim()}\n`

const partOf = (pem: string, label: string): string | undefined =>
  new RegExp(`-----BEGIN ${label}-----[^-]*-----END ${label}-----`).exec(pem)?.[0]
