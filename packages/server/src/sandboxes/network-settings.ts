import { isIPv4, isIPv6 } from 'node:net'
import { ENVD_PORT, SandlotError } from '@sandlot/protocol'
import { ALL_RANGES } from '@sandlot/protocol/node'
import type {
  SandboxNetworkConfig,
  SandboxNetworkRules,
  SandboxNetworkUpdateConfig,
} from '@sandlot/protocol/rest'
import { checkProxy } from './egress-proxy.ts'
import { nameOf, rangeOf } from './network-entries.ts'
import { checkRules } from './network-rules.ts'
import type { SandboxSettings } from './sandbox.ts'

/** What a server allows all sandboxes. */
export interface NetworkLimits {
  /** CIDR blocks that the administrator has opened although they are private. */
  allowedRanges: readonly string[]
}

type NetworkSettings = Pick<SandboxSettings, 'allowInternetAccess' | 'network'>

/**
 * Checks the network part of a create, and returns what is kept with the sandbox.
 * @throws SandlotError invalid_request
 */
export function networkSettingsOf(
  config: SandboxNetworkConfig | null | undefined,
  allowInternetAccess: boolean | null | undefined,
  limits: NetworkLimits,
): NetworkSettings & Pick<SandboxSettings, 'maskRequestHost'> {
  if (!config) return { allowInternetAccess: allowInternetAccess ?? undefined }
  const { allowPublicTraffic, maskRequestHost, httpsPorts } = config
  checkOutgoing(config, allowInternetAccess, limits)
  if (maskRequestHost !== undefined) checkRequestHost(maskRequestHost)
  if (httpsPorts) checkHttpsPorts(httpsPorts)
  return {
    allowInternetAccess: allowInternetAccess ?? undefined,
    network: withoutUnset({ allowPublicTraffic, ...outgoingOf(config), maskRequestHost, httpsPorts }),
    maskRequestHost,
  }
}

/**
 * Checks an update, and returns the settings with all rules for outgoing connections replaced.
 * @throws SandlotError invalid_request
 */
export function withUpdate<Settings extends NetworkSettings>(
  settings: Settings,
  update: SandboxNetworkUpdateConfig,
  limits: NetworkLimits,
): Settings {
  const { allow_internet_access: allowInternetAccess } = update
  checkOutgoing(update, allowInternetAccess, limits)
  const { allowPublicTraffic, maskRequestHost, httpsPorts } = settings.network ?? {}
  return {
    ...settings,
    allowInternetAccess: allowInternetAccess ?? undefined,
    network: withoutUnset({ allowPublicTraffic, ...outgoingOf(update), maskRequestHost, httpsPorts }),
  }
}

/** Keeps only fields that were checked. */
const outgoingOf = ({ allowOut, denyOut, egressProxy, rules, dnsServers }: SandboxNetworkRules) => ({
  allowOut,
  denyOut,
  egressProxy: egressProxy ?? undefined,
  rules,
  dnsServers,
})

const withoutUnset = (config: SandboxNetworkConfig): SandboxNetworkConfig =>
  Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined))

function checkOutgoing(
  { allowOut = [], denyOut = [], egressProxy, rules, dnsServers }: SandboxNetworkRules,
  allowInternetAccess: boolean | null | undefined,
  { allowedRanges }: NetworkLimits,
): void {
  let isClosed = allowInternetAccess === false
  for (const entry of denyOut) {
    const range = rangeOf(entry)
    if (!range) throw invalidEntry('invalid denied CIDR', entry)
    isClosed ||= range === ALL_RANGES
  }
  let hasNames = false
  for (const entry of allowOut) {
    const isName = !rangeOf(entry)
    if (isName && !nameOf(entry)) throw invalidEntry('invalid allowed address', entry)
    hasNames ||= isName
  }
  if (hasNames && !isClosed)
    throw invalid(
      "When specifying allowed domains in allow out, you must include 'ALL_TRAFFIC' in deny out to block all other traffic.",
    )
  for (const server of dnsServers ?? [])
    if (!isIPv4(server) || !rangeOf(server))
      throw invalid(`invalid DNS server ${server}: it must be an IPv4 address, for example 1.1.1.1`)
  if (rules) checkRules(rules)
  if (egressProxy) checkProxy(egressProxy, allowedRanges)
}

function invalidEntry(what: string, entry: string): SandlotError {
  const [address = ''] = entry.split('/')
  return invalid(`${what} ${entry}${isIPv6(address) ? ': sandboxes reach IPv4 addresses only' : ''}`)
}

/** Host of a Host header, with an optional port. */
const REQUEST_HOST = /^([A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/

function checkRequestHost(host: string): void {
  const shown = JSON.stringify(host)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is that of ASCII
  if (!/^[\x00-\x7f]*$/.test(host))
    throw invalid(`mask request host ${shown} is not ASCII: write international names in their xn-- form`)
  if (!REQUEST_HOST.test(host.replace(/\$\{PORT\}/g, '80')))
    throw invalid(
      `mask request host is not valid: ${shown} must be host or host:port, for example localhost:\${PORT}`,
    )
}

function checkHttpsPorts(ports: readonly number[]): void {
  if (ports.includes(ENVD_PORT)) throw invalid(`invalid HTTPS port ${ENVD_PORT}: it is the port of envd`)
  const twice = ports.find((port, index) => ports.indexOf(port) !== index)
  if (twice !== undefined) throw invalid(`HTTPS port ${twice} is listed twice`)
}

const invalid = (message: string): SandlotError => new SandlotError('invalid_request', message)
