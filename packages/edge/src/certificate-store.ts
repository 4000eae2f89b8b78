import { mkdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, type SecureContext } from 'node:tls'
import { SandlotError } from '@sandlot/protocol'
import { createOnce, readIfThere, replace, systemCertificates } from './ca-files.ts'
import {
  type CertificateAuthority,
  issueAuthority,
  issueLeaf,
  type Leaf,
  newKeyPem,
  readAuthority,
  readKeyPem,
} from './certificates.ts'
import { hostName } from './route.ts'

const DAY_MS = 86_400_000
const RENEW_AUTHORITY_BEFORE_MS = 180 * DAY_MS
const RENEW_LEAF_BEFORE_MS = 30 * DAY_MS
const MAX_LEAVES = 256

export interface CertificateStore {
  /** The CA's certificate, for NODE_EXTRA_CA_CERTS. */
  readonly caPath: string
  /** What the system trusts plus the CA, for variables that replace the system's: SSL_CERT_FILE, REQUESTS_CA_BUNDLE. */
  readonly bundlePath: string
  /** For clients that name no host or one that is not ours: localhost, this machine's addresses, the domain. */
  defaultLeaf(): Promise<Leaf>
  /** For the host a client names; undefined when the default serves. */
  contextFor(serverName: string): Promise<SecureContext | undefined>
}

interface CachedLeaf {
  leaf: Promise<Leaf>
  context: Promise<SecureContext>
  renewAtMs: number
}

/**
 * The local CA in `directory`, made at first use. `ca.key` is what counts: without `ca.pem` the same CA is
 * written anew, and two processes that start together end up with one.
 * @param domain may hold a port, which is ignored
 * @throws SandlotError internal_server_error: `ca.key` is not a P-256 key; disk errors pass as they are in `cause`
 */
export async function openCertificateStore(
  directory: string,
  domain: string,
  now: () => number = Date.now,
): Promise<CertificateStore> {
  const caPath = join(directory, 'ca.pem')
  const bundlePath = join(directory, 'ca-bundle.pem')
  const authority = await openAuthority(directory, caPath, now())
  const caPem = authority.certificate.toString('pem')
  await replace(bundlePath, `${(await systemCertificates()).trim()}\n${caPem.trim()}\n`, 0o644)

  const apex = hostName(domain)
  const leaves = new Map<string, CachedLeaf>()

  function cachedLeaf(names: string[]): CachedLeaf {
    const [key = ''] = names
    const cached = leaves.get(key)
    leaves.delete(key)
    if (cached && cached.renewAtMs > now()) {
      leaves.set(key, cached)
      return cached
    }
    const leaf = issueLeaf(authority, names, now())
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
    defaultLeaf: () =>
      cachedLeaf(['localhost', ...localAddresses(), ...domainNames(apex)].filter(unique)).leaf,
    async contextFor(serverName) {
      const names = namesOfLeaf(serverName.toLowerCase(), apex)
      return names && cachedLeaf(names).context
    },
  }
}

const contextOf = ({ certificatePem, keyPem }: Leaf): SecureContext =>
  createSecureContext({ cert: certificatePem, key: keyPem, minVersion: 'TLSv1.2' })

async function openAuthority(
  directory: string,
  caPath: string,
  nowMs: number,
): Promise<CertificateAuthority> {
  const keyPath = join(directory, 'ca.key')
  try {
    await mkdir(directory, { recursive: true })
    const keyPem = (await readIfThere(keyPath)) ?? (await createOnce(keyPath, await newKeyPem(), 0o600))
    const keys = await readKeyPem(keyPem)
    const issue = async () => (await issueAuthority(keys, nowMs)).certificate.toString('pem')
    const pem = (await readIfThere(caPath)) ?? (await createOnce(caPath, `${await issue()}\n`, 0o644))
    const known = await readAuthority(pem, keys).catch(() => undefined)
    if (known && known.certificate.notAfter.getTime() - nowMs > RENEW_AUTHORITY_BEFORE_MS) return known
    const renewed = await issueAuthority(keys, nowMs)
    await replace(caPath, `${renewed.certificate.toString('pem')}\n`, 0o644)
    return renewed
  } catch (error) {
    throw new SandlotError(
      'internal_server_error',
      `the local CA in ${directory} cannot be used: ${(error as Error).message}; remove ${keyPath} and ${caPath} to make a new one`,
      { cause: error },
    )
  }
}

/** One wildcard serves all sandboxes; clients refuse wildcards below a single label such as `localhost`. */
function namesOfLeaf(name: string, apex: string): string[] | undefined {
  if (apex.includes('.')) return name === apex || isDirectlyBelow(name, apex) ? domainNames(apex) : undefined
  return isDirectlyBelow(name, apex) ? [name] : undefined
}

const isDirectlyBelow = (name: string, apex: string): boolean =>
  name.endsWith(`.${apex}`) && /^[a-z0-9_-]{1,63}$/.test(name.slice(0, -apex.length - 1))

const domainNames = (apex: string): string[] =>
  apex.includes('.') && !isIP(apex) ? [`*.${apex}`, apex] : [apex]

/** Addresses with a scope (link-local IPv6) are left out: nobody can write them in a URL. */
const localAddresses = (): string[] => [
  '127.0.0.1',
  '::1',
  ...Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ address }) => !address.startsWith('fe80:'))
    .map(({ address }) => address),
]

const unique = (value: string, index: number, all: string[]): boolean => all.indexOf(value) === index
