import { isIP } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import {
  type CertificateAuthority,
  issueLeaf,
  type Leaf,
  replace,
  systemCertificates,
} from '@sandlot/certificates'
import { DAY_MS, HOUR_MS } from '@sandlot/protocol'
import {
  LOOPBACK,
  namesToPermit,
  type OpenedAuthority,
  openAuthority,
  renewalOf,
  type WantedNames,
} from './local-authority.ts'
import { hostName } from './route.ts'

const RENEW_LEAF_BEFORE_MS = 30 * DAY_MS
const RETRY_RENEWAL_MS = HOUR_MS
const MAX_LEAVES = 256

export interface CertificateStore {
  /** The CA's certificate, for NODE_EXTRA_CA_CERTS. */
  readonly caPath: string
  /** The system's authorities and the CA, for variables that replace the system's list: SSL_CERT_FILE, REQUESTS_CA_BUNDLE. */
  readonly bundlePath: string
  /** Why the CA of an earlier start was replaced, if it was. Running clients must then read the bundle again. */
  readonly replacedBecause?: string
  /** Certificate for clients that name no host, or an unknown one: localhost, this machine's addresses, the domain. */
  defaultLeaf(): Promise<Leaf>
  /** Certificate for the host that a client names; undefined when the default certificate covers the host. */
  contextFor(serverName: string): Promise<SecureContext | undefined>
}

interface CachedLeaf {
  leaf: Promise<Leaf>
  context: Promise<SecureContext>
  renewAtMs: number
}

/**
 * Opens the local CA in `directory`, and creates one at first use. `ca.key` decides: a missing `ca.pem` is written
 * again for the same key, and two processes that start concurrently end up with one CA. The CA may sign only for
 * `localhost`, the domain and the addresses of `hosts`; when these change, a CA with another key replaces it.
 * @param domain may include a port, which is ignored
 * @param hosts what the server listens on; `0.0.0.0` and `::` mean all addresses of this machine
 * @throws SandlotError internal_server_error: `ca.key` is not a P-256 key; disk errors are in `cause`
 */
export async function openCertificateStore(
  directory: string,
  domain: string,
  hosts: string[] = LOOPBACK,
  now: () => number = Date.now,
): Promise<CertificateStore> {
  const apex = hostName(domain)
  const wanted = await namesToPermit(apex, hosts)
  const store = new LocalCertificateStore(directory, apex, wanted, now)
  await store.open()
  return store
}

class LocalCertificateStore implements CertificateStore {
  readonly caPath: string
  readonly bundlePath: string
  replacedBecause?: string
  readonly #directory: string
  /** Host of the server, without a port. */
  readonly #apex: string
  readonly #wanted: WantedNames
  readonly #now: () => number
  readonly #leaves = new Map<string, CachedLeaf>()
  #authority!: Promise<CertificateAuthority>
  #renewAuthorityAtMs!: number

  constructor(directory: string, apex: string, wanted: WantedNames, now: () => number) {
    this.caPath = join(directory, 'ca.pem')
    this.bundlePath = join(directory, 'ca-bundle.pem')
    this.#directory = directory
    this.#apex = apex
    this.#wanted = wanted
    this.#now = now
  }

  /** Must be called once, before any certificate is asked for. */
  async open(): Promise<void> {
    const { authority, replacedBecause } = await this.#openAuthority()
    this.replacedBecause = replacedBecause
    this.#authority = Promise.resolve(authority)
    this.#renewAuthorityAtMs = renewalOf(authority)
  }

  defaultLeaf(): Promise<Leaf> {
    const names = ['localhost', ...this.#wanted.addresses, ...domainNames(this.#apex)]
    return this.#cachedLeaf(names.filter(unique)).leaf
  }

  async contextFor(serverName: string): Promise<SecureContext | undefined> {
    const names = namesOfLeaf(serverName.toLowerCase(), this.#apex)
    return names && this.#cachedLeaf(names).context
  }

  async #openAuthority(): Promise<OpenedAuthority> {
    const opened = await openAuthority(this.#directory, this.caPath, this.#wanted, this.#now())
    const caPem = opened.authority.certificate.toString('pem')
    await replace(this.bundlePath, `${(await systemCertificates()).trim()}\n${caPem.trim()}\n`, 0o644)
    return opened
  }

  /**
   * Renews the CA with its existing key long before its certificate expires: clients with the old certificate accept
   * leaves of both.
   */
  #currentAuthority(): Promise<CertificateAuthority> {
    if (this.#now() < this.#renewAuthorityAtMs) return this.#authority
    this.#renewAuthorityAtMs = Number.POSITIVE_INFINITY
    const before = this.#authority
    this.#authority = this.#openAuthority().then(({ authority }) => {
      this.#renewAuthorityAtMs = renewalOf(authority)
      return authority
    })
    this.#authority.catch(() => {
      this.#authority = before
      this.#renewAuthorityAtMs = this.#now() + RETRY_RENEWAL_MS
    })
    return this.#authority
  }

  #cachedLeaf(names: string[]): CachedLeaf {
    const leaves = this.#leaves
    const [key = ''] = names
    const cached = leaves.get(key)
    leaves.delete(key)
    if (cached && cached.renewAtMs > this.#now()) {
      leaves.set(key, cached)
      return cached
    }
    const leaf = this.#currentAuthority().then((issuer) => issueLeaf(issuer, names, this.#now()))
    const entry = { leaf, context: leaf.then(contextOf), renewAtMs: Number.POSITIVE_INFINITY }
    leaves.set(key, entry)
    entry.context.catch(() => leaves.delete(key))
    leaf.then(({ expiresAtMs }) => (entry.renewAtMs = expiresAtMs - RENEW_LEAF_BEFORE_MS)).catch(() => {})
    const [oldest] = leaves.keys()
    if (leaves.size > MAX_LEAVES && oldest !== undefined) leaves.delete(oldest)
    return entry
  }
}

const contextOf = ({ certificatePem, keyPem }: Leaf): SecureContext =>
  createSecureContext({ cert: certificatePem, key: keyPem, minVersion: 'TLSv1.2' })

/**
 * Returns the names of the leaf for `name`. One wildcard covers all sandboxes, except below a single label such as
 * `localhost`, where clients refuse wildcards.
 */
function namesOfLeaf(name: string, apex: string): string[] | undefined {
  if (apex.includes('.')) return name === apex || isDirectlyBelow(name, apex) ? domainNames(apex) : undefined
  return isDirectlyBelow(name, apex) ? [name] : undefined
}

const isDirectlyBelow = (name: string, apex: string): boolean =>
  name.endsWith(`.${apex}`) && /^[a-z0-9_-]{1,63}$/.test(name.slice(0, -apex.length - 1))

const domainNames = (apex: string): string[] =>
  apex.includes('.') && !isIP(apex) ? [`*.${apex}`, apex] : [apex]

const unique = (value: string, index: number, all: string[]): boolean => all.indexOf(value) === index
