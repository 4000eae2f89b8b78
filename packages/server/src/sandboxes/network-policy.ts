import { ALL_RANGES, CLOSED, type HeaderTransform, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { proxyOf } from './egress-proxy.ts'
import { nameOf, overlap, rangeOf } from './network-entries.ts'
import { headersOf, placeholdersIn, type Rules } from './network-rules.ts'
import type { SandboxSettings } from './sandbox.ts'

/** What the node puts in force for settings that were checked (`network-settings.ts`). */
export function networkPolicyOf({ network, allowInternetAccess }: SandboxSettings): NetworkPolicy {
  if (!network) return allowInternetAccess === false ? CLOSED : OPEN
  const { allowOut = [], denyOut = [], egressProxy, rules, dnsServers } = network
  const transforms = rules && transformsOf(rules)
  const ranges = allowOut.map(rangeOf)
  return {
    allowRanges: distinct(ranges),
    allowNames: distinct(allowOut.filter((_, index) => !ranges[index]).map(nameOf)),
    denyRanges: allowInternetAccess === false ? [ALL_RANGES] : distinct(denyOut.map(rangeOf)),
    ...(dnsServers && { dnsServers: [...new Set(dnsServers)] }),
    ...(transforms && { transforms }),
    ...(egressProxy && { proxy: proxyOf(egressProxy) }),
  }
}

const distinct = (entries: Array<string | undefined>): string[] => [
  ...new Set(entries.filter((entry) => entry !== undefined)),
]

/** @returns undefined when no rule sets a header */
function transformsOf(rules: Rules): Record<string, HeaderTransform> | undefined {
  const transforms = Object.entries(rules).flatMap(([domain, entries]) => {
    const headers = headersOf(entries)
    return headers ? [[nameOf(domain)!, headers] as const] : []
  })
  return transforms.length > 0 ? Object.fromEntries(transforms) : undefined
}

/** What is accepted in the network settings of a sandbox but probably not meant; undefined: nothing. */
export function networkWarnings(settings: SandboxSettings): string[] | undefined {
  if (!settings.network?.rules) return undefined
  const { allowRanges, allowNames, denyRanges, transforms = {} } = networkPolicyOf(settings)
  const tokens = settings.iam?.tokens ?? {}
  const warnings: string[] = []
  for (const [domain, headers] of Object.entries(transforms)) {
    const isReachable = !denyRanges.includes(ALL_RANGES) || allowRanges.includes(ALL_RANGES)
    if (!isReachable && !allowNames.some((name) => overlap(name, domain)))
      warnings.push(
        `network rules for ${domain} do not allow it: add it to allowOut, ${allowRanges.length > 0 ? 'unless it is at an address that allowOut lists' : 'else no connection to it passes'}`,
      )
    const names = Object.values(headers).flatMap(placeholdersIn)
    for (const name of new Set(names.filter(({ kind }) => kind === 'identityToken').map(({ name }) => name)))
      if (!Object.hasOwn(tokens, name))
        warnings.push(
          `network rules for ${domain} use the identity token '${name}', which the sandbox does not have: requests get 502`,
        )
  }
  return warnings.length > 0 ? warnings : undefined
}
