import { ALL_RANGES, type HeaderTransform, type NetworkPolicy } from '@sandlot/protocol/node'
import type { CompiledPolicy, Decision } from './connection.ts'
import { NamePatterns } from './names.ts'
import { type ClosedRanges, RangeSet } from './ranges.ts'

/**
 * Prepares a policy. The first that applies decides: an allowed name, a closed range, an allowed range, a denied range;
 * what nothing names is allowed. An allowed name wins over a closed range because the connection is then made to the name,
 * and `dial.ts` checks where that leads.
 * @param closed ranges that a policy cannot open
 * @throws SandlotError invalid_request when a range is not an IPv4 CIDR block
 */
export function compilePolicy(policy: NetworkPolicy, closed: ClosedRanges): CompiledPolicy {
  const names = new NamePatterns(policy.allowNames.map((name) => [name, `allow ${name}`] as const))
  const transforms = new NamePatterns<HeaderTransform>(Object.entries(policy.transforms ?? {}))
  const allowed = new RangeSet(policy.allowRanges)
  const denied = new RangeSet(policy.denyRanges)
  const isDeniedByDefault = policy.denyRanges.includes(ALL_RANGES)

  const decideByAddress = (address: string): Decision => {
    if (closed.has(address)) return { isAllowed: false, rule: 'closed range', isByName: false }
    const allowing = allowed.find(address)
    if (allowing !== undefined) return { isAllowed: true, rule: `allow ${allowing}`, isByName: false }
    const denying = denied.find(address)
    if (denying !== undefined) return { isAllowed: false, rule: `deny ${denying}`, isByName: false }
    return { isAllowed: true, rule: 'default', isByName: false }
  }
  return {
    decide(name, address) {
      const rule = name === undefined ? undefined : names.find(name)
      return rule === undefined ? decideByAddress(address) : { isAllowed: true, rule, isByName: true }
    },
    ruleForQuery: (name) => names.find(name) ?? (isDeniedByDefault ? undefined : 'default'),
    transformFor: (name) => transforms.find(name),
    readsNames: policy.allowNames.length > 0 || Object.keys(policy.transforms ?? {}).length > 0,
    ...(policy.proxy && { proxy: policy.proxy }),
    ...(policy.dnsServers && { dnsServers: policy.dnsServers }),
  }
}
