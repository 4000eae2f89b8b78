import { isIP } from 'node:net'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import { DAY_MS, HOUR_MS } from '@sandlot/protocol'
import { replace, systemCertificates } from './ca-files.ts'
import { type CertificateAuthority, issueLeaf, type Leaf } from './certificates.ts'
import { LOOPBACK, namesToPermit, openAuthority, renewalOf } from './local-authority.ts'
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
  const caPath = join(directory, 'ca.pem')
  const bundlePath = join(directory, 'ca-bundle.pem')
  const apex = hostName(domain)
  const wanted = await namesToPermit(apex, hosts)

  const open = async () => {
    const opened = await openAuthority(directory, caPath, wanted, now())
    const caPem = opened.authority.certificate.toString('pem')
    await replace(bundlePath, `${(await systemCertificates()).trim()}\n${caPem.trim()}\n`, 0o644)
    return opened
  }
  const { authority: first, replacedBecause } = await open()
  let authority = Promise.resolve(first)
  let renewAuthorityAtMs = renewalOf(first)

  /**
   * Renews the CA with its existing key long before its certificate expires: clients with the old certificate accept
   * leaves of both.
   */
  function currentAuthority(): Promise<CertificateAuthority> {
    if (now() < renewAuthorityAtMs) return authority
    renewAuthorityAtMs = Number.POSITIVE_INFINITY
    const before = authority
    authority = open().then((opened) => {
      renewAuthorityAtMs = renewalOf(opened.authority)
      return opened.authority
    })
    authority.catch(() => {
      authority = before
      renewAuthorityAtMs = now() + RETRY_RENEWAL_MS
    })
    return authority
  }

  const leaves = new Map<string, CachedLeaf>()

  function cachedLeaf(names: string[]): CachedLeaf {
    const [key = ''] = names
    const cached = leaves.get(key)
    leaves.delete(key)
    if (cached && cached.renewAtMs > now()) {
      leaves.set(key, cached)
      return cached
    }
    const leaf = currentAuthority().then((issuer) => issueLeaf(issuer, names, now()))
    const entry = { leaf, context: leaf.then(contextOf), renewAtMs: Number.POSITIVE_INFINITY }
    leaves.set(key, entry)
    entry.context.catch(() => leaves.delete(key))
    leaf.then(({ expiresAtMs }) => (entry.renewAtMs = expiresAtMs - RENEW_LEAF_BEFORE_MS)).catch(() => {})
    const [oldest] = leaves.keys()
    if (leaves.size > MAX_LEAVES && oldest !== undefined) leaves.delete(oldest)
    return entry
  }

  return {
    caPath,
    bundlePath,
    replacedBecause,
    defaultLeaf: () =>
      cachedLeaf(['localhost', ...wanted.addresses, ...domainNames(apex)].filter(unique)).leaf,
    async contextFor(serverName) {
      const names = namesOfLeaf(serverName.toLowerCase(), apex)
      return names && cachedLeaf(names).context
    },
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
