import { X509Certificate } from 'node:crypto'
import { isIPv4 } from 'node:net'
import { SandlotError, withoutCredentials } from '@sandlot/protocol'
import type { UpstreamProxy } from '@sandlot/protocol/node'
import type { SandboxNetworkRules } from '@sandlot/protocol/rest'
import { isInRange, nameOf } from './network-entries.ts'

/** Limit of each part of the address and credentials, of SOCKS5 (RFC 1928 and 1929: a length is one byte). */
const MAX_BYTES = 255
const MAX_SERVER_NAME_LENGTH = 253
const MAX_CA_BYTES = 8192

/** Ranges that no proxy can be in. The node checks what names resolve to each time it connects. */
const PRIVATE_RANGES = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.168.0.0/16', '224.0.0.0/4', '240.0.0.0/4'],
]

export type EgressProxy = NonNullable<SandboxNetworkRules['egressProxy']>

/**
 * Reads the SOCKS5 proxy of a sandbox.
 * @param allowedRanges CIDR blocks that the administrator has opened although they are private
 * @throws SandlotError invalid_request
 */
export function checkProxy(proxy: EgressProxy, allowedRanges: readonly string[]): void {
  const { username, password } = proxy
  for (const field of ['address', 'username', 'password'] as const) {
    const bytes = Buffer.byteLength(proxy[field] ?? '')
    if (bytes > MAX_BYTES) throw invalid(`${field} has ${bytes} bytes, at most ${MAX_BYTES} are allowed`)
  }
  const { host } = addressOf(proxy)
  const isAllowed = isIPv4(host) && allowedRanges.some((range) => isInRange(host, range))
  if (isPrivate(host) && !isAllowed)
    throw invalid(`address ${host} is private: the proxy must be at a public address`)
  if (password && !username) throw invalid('password needs a username')
  if (proxy.tls) checkTls(proxy.tls)
}

/** @returns the proxy of settings that were checked */
export function proxyOf(proxy: EgressProxy): UpstreamProxy {
  const { username, password, tls } = proxy
  const { host, port } = addressOf(proxy)
  return {
    host,
    port,
    ...(username && { username }),
    ...(password && { password }),
    ...(tls &&
      tls.enabled !== false && {
        tls: {
          ...(tls.serverName && { serverName: tls.serverName }),
          ...(tls.caCert && { caCert: tls.caCert }),
        },
      }),
  }
}

function addressOf({ address }: EgressProxy): { host: string; port: number } {
  const [, hostText = '', portText = ''] = /^([^:]+):(\d{1,5})$/.exec(address) ?? []
  const port = Number(portText)
  const host = isIPv4(hostText) ? hostText : nameOf(hostText)
  if (host === undefined || host.startsWith('*') || port < 1 || port > 65_535)
    throw invalid(
      `address ${JSON.stringify(withoutCredentials(address))} must be host:port with an IPv4 address or a name, for example proxy.example.com:1080`,
    )
  return { host, port }
}

const isPrivate = (host: string): boolean =>
  isIPv4(host)
    ? PRIVATE_RANGES.some((range) => isInRange(host, range))
    : host === 'localhost' || host.endsWith('.localhost')

function checkTls({ serverName, caCert }: NonNullable<EgressProxy['tls']>): void {
  if (serverName) {
    if (serverName.length > MAX_SERVER_NAME_LENGTH)
      throw invalid(
        `tls.serverName has ${serverName.length} characters, at most ${MAX_SERVER_NAME_LENGTH} are allowed`,
      )
    const name = nameOf(serverName)
    if (name === undefined || name.startsWith('*'))
      throw invalid(`tls.serverName ${JSON.stringify(serverName)} is not a domain`)
  }
  if (!caCert) return
  const bytes = Buffer.byteLength(caCert)
  if (bytes > MAX_CA_BYTES)
    throw invalid(`tls.caCert has ${bytes} bytes, at most ${MAX_CA_BYTES} are allowed`)
  const certificates = caCert.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  if (certificates.length === 0 || !certificates.every(isCertificate))
    throw invalid('tls.caCert must be certificates in PEM form (-----BEGIN CERTIFICATE----- …)')
}

function isCertificate(pem: string): boolean {
  try {
    new X509Certificate(pem)
    return true
  } catch {
    return false
  }
}

const invalid = (what: string): SandlotError =>
  new SandlotError('invalid_request', `Invalid egress proxy config: ${what}`)
