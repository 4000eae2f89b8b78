import { lookup } from 'node:dns/promises'
import { mkdir } from 'node:fs/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import {
  type CertificateAuthority,
  createOnce,
  issueAuthority,
  nameConstraints,
  newKeyPem,
  type PermittedNames,
  permittedNames,
  readAuthority,
  readIfThere,
  readKeyPem,
  replace,
} from '@sandlot/certificates'
import { DAY_MS, SandlotError } from '@sandlot/protocol'

const CA_DAYS = 730
const RENEW_BEFORE_MS = 180 * DAY_MS
export const LOOPBACK = ['127.0.0.1', '::1']
const ANY_ADDRESS = ['0.0.0.0', '::']
/** The host's side of a slot, as the node names it. */
const SANDBOX_INTERFACE = /^sl[0-9a-f]{4}-\d+$/

export interface WantedNames extends PermittedNames {
  /**
   * Whether permitted addresses may disappear. Interfaces come and go; a new CA for each removed address would break
   * clients without need.
   */
  mayLoseAddresses: boolean
}

export interface OpenedAuthority {
  authority: CertificateAuthority
  /** Why an earlier authority was replaced, if one was. */
  replacedBecause?: string
}

/** Returns the names and addresses by which clients reach a server of this domain that listens on these hosts. */
export async function namesToPermit(apex: string, hosts: string[]): Promise<WantedNames> {
  const found = await Promise.all(hosts.map(addressesOf))
  return {
    dns: ['localhost', ...(isIP(apex) ? [] : [apex])].filter(unique),
    addresses: [...LOOPBACK, ...found.flat(), ...(isIP(apex) ? [apex] : [])].filter(unique),
    mayLoseAddresses: hosts.some((host) => ANY_ADDRESS.includes(host)),
  }
}

async function addressesOf(host: string): Promise<string[]> {
  if (ANY_ADDRESS.includes(host)) return localAddresses()
  if (isIP(host)) return [host]
  const found = await lookup(host, { all: true }).catch(() => [])
  return found.map(({ address }) => address)
}

/** Leaves out addresses with a scope (link-local IPv6), which a URL cannot hold, and the gateways of sandboxes. */
const localAddresses = (): string[] =>
  Object.entries(networkInterfaces())
    .filter(([name]) => !SANDBOX_INTERFACE.test(name))
    .flatMap(([, list]) => list ?? [])
    .filter(({ address }) => !address.startsWith('fe80:'))
    .map(({ address }) => address)

export const renewalOf = ({ certificate }: CertificateAuthority): number =>
  certificate.notAfter.getTime() - RENEW_BEFORE_MS

/**
 * Opens the authority in `directory` that may sign for `wanted`: the existing one, renewed when it is about to expire, or
 * one with another key when the names have changed.
 */
export async function openAuthority(
  directory: string,
  caPath: string,
  wanted: WantedNames,
  nowMs: number,
): Promise<OpenedAuthority> {
  const keyPath = join(directory, 'ca.key')
  try {
    await mkdir(directory, { recursive: true })
    const keyPem = (await readIfThere(keyPath)) ?? (await createOnce(keyPath, await newKeyPem(), 0o600))
    const keys = await readKeyPem(keyPem)
    const profile = { name: 'Sandlot local CA', days: CA_DAYS, constraints: nameConstraints(wanted) }
    const issue = async () => (await issueAuthority(keys, profile, nowMs)).certificate.toString('pem')
    const pem = (await readIfThere(caPath)) ?? (await createOnce(caPath, `${await issue()}\n`, 0o644))
    const known = await readAuthority(pem, keys).catch(() => undefined)
    const unfitReason = known && whyUnfit(known, wanted)
    if (known && !unfitReason && renewalOf(known) > nowMs) return { authority: known }
    // With a new key, clients that trust the old certificate do not trust the new authority, and the reverse.
    const nextKeys = unfitReason ? await readKeyPem(await newKeyIn(keyPath)) : keys
    const authority = await issueAuthority(nextKeys, profile, nowMs)
    await replace(caPath, `${authority.certificate.toString('pem')}\n`, 0o644)
    return { authority, replacedBecause: unfitReason }
  } catch (error) {
    throw new SandlotError(
      'internal_server_error',
      `the local CA in ${directory} cannot be used: ${(error as Error).message}; remove ${keyPath} and ${caPath} to make a new one`,
      { cause: error },
    )
  }
}

async function newKeyIn(path: string): Promise<string> {
  const pem = await newKeyPem()
  await replace(path, pem, 0o600)
  return pem
}

/** @returns why the authority must be replaced; undefined when it may sign for exactly the wanted names */
function whyUnfit({ certificate }: CertificateAuthority, wanted: WantedNames): string | undefined {
  const found = permittedNames(certificate)
  if (!found) return 'it could sign for every name'
  if (found.dns.join() !== wanted.dns.join())
    return `it was created for ${found.dns.join(', ')}, and this server is ${wanted.dns.join(', ')}`
  const missing = wanted.addresses.filter((address) => !found.addresses.includes(address))
  if (missing.length > 0) return `this server now answers on ${missing.join(', ')} too`
  const left = found.addresses.filter((address) => !wanted.addresses.includes(address))
  if (left.length > 0 && !wanted.mayLoseAddresses)
    return `this server no longer answers on ${left.join(', ')}`
  return undefined
}

const unique = (value: string, index: number, all: string[]): boolean => all.indexOf(value) === index
