import { endOf, maskOf } from '@sandlot/protocol/cidr'
import type { InstanceNames } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import type { HostNetworks } from './host-networks.ts'
import { DIVERSION_SETS, type Elements, RANGE_SETS, SLOT_SETS } from './policy-elements.ts'

/** Where the proxy of `packages/egress` listens. */
export interface EgressPorts {
  proxyPort: number
  dns: { address: string; port: number }
}

export interface FirewallRulesOptions {
  names: InstanceNames
  /** CIDR of the slots; outgoing packets are masqueraded. */
  range: string
  /** Resolver that answers DNS queries. */
  dns: string
  /** Exceptions from BLOCKED_RANGES and the host's networks, set by an administrator. */
  allowedRanges?: string[]
  /** Maximum of concurrent outgoing connections of one sandbox; more are refused. */
  maxConnections: number
  /** Whether refused packets are traced of slots without rules too. */
  recordAll?: boolean
  /** Absent: no policy may need the proxy. */
  egress?: EgressPorts
}

export interface RuleState {
  /** Elements of all slots with a sandbox that may reach something. */
  elements: Elements
  host: HostNetworks
}

/** Refused packets of which the reason is traced, for the record. */
const TRACED = 'limit rate 100/second burst 100 packets meta nftrace set 1'

/** Set with a counter for each slot that had packets of connections beyond the limit. */
export const LIMIT_COUNTERS = 'beyond_limit'

/** All sets with one element for each slot. */
const SETS_OF_SLOTS = [...SLOT_SETS, ...DIVERSION_SETS, 'diverted', 'resolved']

const braces = (all: Iterable<string>): string => {
  const list = [...all]
  return list.length > 0 ? `elements = { ${list.join(', ')} };` : ''
}
const blockedOf = ({ addresses, networks }: HostNetworks): string[] => [...addresses, ...networks]

/**
 * Returns the commands that replace the instance's table atomically, without touching other tables. Only slots in
 * `SLOT_SETS` may send packets out, by interface and address; the sandbox of a slot has the third address of its /30.
 *
 * The number of chains, sets and rules is constant, so that neither packets nor changes cost more with more sandboxes:
 * ranges of policies are elements of a few sets (docs/adr/0036).
 */
export function firewallRules(options: FirewallRulesOptions, state: RuleState): string {
  const { names } = options
  return `
table inet ${names.nftTable} {}
delete table inet ${names.nftTable}
table inet ${names.nftTable} {
${setsOf(state)}
${alwaysOf(options)}
${forwardOf(options)}
${refusalsOf(options)}
${options.egress ? diversionOf(options, options.egress) : ''}
${options.recordAll ? recordedClosedOf(names) : ''}
}
`
}

function setsOf({ elements, host }: RuleState): string {
  const slotSet = (name: string) =>
    `  set ${name} { type ifname . ipv4_addr; ${braces(elements.get(name) ?? [])} }`
  return [
    ...SETS_OF_SLOTS.map(slotSet),
    ...RANGE_SETS.map(slotSet),
    `  set host_networks { type ipv4_addr; flags interval; auto-merge; ${braces(blockedOf(host))} }`,
    '  set connections { type ifname; size 65535; flags dynamic; }',
    `  set ${LIMIT_COUNTERS} { type ifname; size 65535; flags dynamic; }`,
  ].join('\n')
}

/** Rules for all slots: what may come from them, to the host and to each other. */
function alwaysOf({ names, range, dns, egress }: FirewallRulesOptions): string {
  const slots = `"${names.vethPrefix}*"`
  return `
  chain source_check {
    type filter hook prerouting priority raw; policy accept;
    iifname ${slots} meta nfproto ipv6 drop
    iifname ${slots} ip saddr & 0.0.0.3 != 0.0.0.2 drop
    iifname ${slots} fib saddr . iif oif 0 drop
    iifname ${slots} icmp type redirect drop
  }
  chain dns_redirect {
    type nat hook prerouting priority dstnat; policy accept;
    ${egress ? redirectTo(`${egress.dns.address}:${egress.dns.port}`, 'iifname . ip saddr @resolved') : ''}
    ${redirectTo(dns, `iifname ${slots} ip daddr ${DNS_ADDRESS}`)}
  }
  chain to_host {
    type filter hook input priority filter; policy accept;
    iifname ${slots} ct state established,related accept
    ${egress ? inputOf(egress, names, slots) : `iifname ${slots} drop`}
  }
  chain routed {
    type filter hook forward priority filter; policy accept;
    iifname ${slots} oifname ${slots} drop
    oifname ${slots} ct state established,related accept
    oifname ${slots} drop
    iifname ${slots} jump from_sandbox
  }
  chain outgoing_nat {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${range} oifname != ${slots} masquerade
  }`
}

const redirectTo = (target: string, from: string): string =>
  `${from} udp dport 53 dnat ip to ${target}\n    ${from} tcp dport 53 dnat ip to ${target}`

/** Only packets that this table has sent there reach the proxy and its resolver, from slots alone. */
function inputOf({ dns }: EgressPorts, { mark }: InstanceNames, slots: string): string {
  const resolver = `ip daddr ${dns.address} meta l4proto { tcp, udp } th dport ${dns.port}`
  return `iifname ${slots} meta mark ${mark} meta l4proto tcp accept
    iifname ${slots} ct status dnat ${resolver} goto admitted
    iifname ${slots} drop
    ${resolver} drop`
}

function forwardOf({ names, dns, allowedRanges = [], recordAll, egress }: FirewallRulesOptions): string {
  const allowed = allowedRanges.length > 0 ? `ip daddr { ${allowedRanges.join(', ')} } goto admitted` : ''
  const internet = (refuse: string) => `
    ct status dnat ip daddr ${dns} udp dport 53 goto admitted
    ct status dnat ip daddr ${dns} tcp dport 53 goto admitted
    ${allowed}
    ip daddr @host_networks ${refuse}
    ip daddr { ${BLOCKED_RANGES.join(', ')} } ${refuse}
    goto admitted`
  // a packet of a connection that the proxy has, or had, never goes out itself
  const known = `${egress ? `ct mark ${names.mark} drop\n    ` : ''}ct state established,related accept
    ct state invalid drop`
  return `
  chain from_sandbox {
    iifname . ip saddr @open goto internet
    iifname . ip saddr @ranged goto by_range
    iifname . ip saddr @ranged_without_dns goto by_range_without_dns
    drop
  }
  chain internet {
    ${known}${internet(recordAll ? 'goto dropped_closed' : 'drop')}
  }
  chain to_internet {${internet('goto refused_closed')}
  }
  chain by_range {
    ${known}
    ct status dnat goto to_internet
    goto ranges
  }
  chain by_range_without_dns {
    ${known}
    ct status dnat goto refused_policy
    goto ranges
  }
  chain ranges {
    ${inRanges('allow', 'goto to_internet')}
    ${inRanges('deny', 'goto refused_policy')}
    goto to_internet
  }`
}

/** Looks a destination up in the ranges of its slot, by each length of a prefix (see `rangeElement`). */
function inRanges(kind: 'allow' | 'deny', statement: string): string {
  const lengths = Array.from({ length: 32 }, (_, bits) => bits)
  return [
    `iifname . ip daddr @${kind}_hosts ${statement}`,
    ...lengths.map(
      (bits) => `iifname . (ip daddr & ${maskOf(bits)} | ${endOf(bits)}) @${kind}_prefixes ${statement}`,
    ),
  ].join('\n    ')
}

/** Ends of refused packets, one chain for each reason (`refusal-trace.ts`). */
function refusalsOf({ maxConnections }: FirewallRulesOptions): string {
  const reject = `
    ${TRACED}
    meta l4proto tcp reject with tcp reset
    reject with icmp type admin-prohibited`
  return `
  chain refused_policy {${reject}
  }
  chain refused_closed {${reject}
  }
  chain refused_limit {
    update @${LIMIT_COUNTERS} { iifname counter }${reject}
  }
  chain dropped_policy {
    ${TRACED}
    drop
  }
  chain dropped_closed {
    ${TRACED}
    drop
  }
  chain admitted {
    ct state new add @connections { iifname ct count over ${maxConnections} } goto refused_limit
    accept
  }`
}

/**
 * Drops what closed slots send before it is routed: forwarding is off on their interfaces, so that no packet would reach a
 * chain of forwarded ones, where it could be traced.
 */
function recordedClosedOf({ vethPrefix }: InstanceNames): string {
  return `
  chain from_slots {
    type filter hook prerouting priority mangle; policy accept;
    iifname "${vethPrefix}*" ct state new goto unless_closed
  }
  chain unless_closed {
    ${SLOT_SETS.map((name) => `iifname . ip saddr @${name} accept`).join('\n    ')}
    goto dropped_policy
  }`
}

/** Sends connections to the proxy. A packet that should go there and cannot is dropped. */
function diversionOf(
  { names, allowedRanges = [], maxConnections }: FirewallRulesOptions,
  { proxyPort }: EgressPorts,
): string {
  const { mark } = names
  const allowed = allowedRanges.length > 0 ? `ip daddr { ${allowedRanges.join(', ')} } goto intercept` : ''
  return `
  chain diversion {
    type filter hook prerouting priority mangle; policy accept;
    iifname . ip saddr @diverted goto diverted_slots
  }
  chain diverted_slots {
    ct mark ${mark} goto to_proxy
    ct state established,related accept
    meta l4proto != tcp accept
    iifname . ip saddr @names_diverted goto divert_names
    iifname . ip saddr @web_diverted tcp dport { 80, 443 } goto divert
    iifname . ip saddr @tcp_diverted goto divert
    iifname . ip saddr @tcp_but_dns_diverted tcp dport != 53 goto divert
  }
  chain divert_names {
    tcp dport != { 80, 443 } accept
    ${inRanges('allow', 'accept')}
    goto divert
  }
  chain divert {
    ${allowed}
    ip daddr @host_networks accept
    ip daddr { ${BLOCKED_RANGES.join(', ')} } accept
    goto intercept
  }
  chain intercept {
    add @connections { iifname ct count over ${maxConnections} } goto refused_limit
    ct mark set ${mark}
    goto to_proxy
  }
  chain to_proxy {
    meta l4proto tcp tproxy ip to 127.0.0.1:${proxyPort} meta mark set ${mark} accept
    drop
  }`
}

/** Returns the command that updates the host's networks in an installed table, in one transaction and one line. */
export const hostNetworksUpdate = (table: string, host: HostNetworks): string => {
  const all = blockedOf(host)
  const add = all.length > 0 ? `; add element inet ${table} host_networks { ${all.join(', ')} }` : ''
  return `flush set inet ${table} host_networks${add}`
}

/** Returns the rules of one table from `nft -t list ruleset inet`; undefined when the table is missing. */
export function rulesOf(table: string, listed: string): string | undefined {
  const start = listed.indexOf(`table inet ${table} {\n`)
  if (start < 0) return undefined
  return listed.slice(start, listed.indexOf('\n}\n', start))
}

/** Returns the elements of a set of slots from nft's listing of it. */
export const slotElementsOf = (listed: string): Set<string> => new Set(listed.match(/"[^"]+" \. [\d.]+/g))

/** Returns the packets that each element of a set has counted, from nft's listing of it. */
export const countersOf = (listed: string): Map<string, number> =>
  new Map(
    [...listed.matchAll(/"([^"]+)" counter packets (\d+)/g)].map(([, name, packets]) => [
      name!,
      Number(packets),
    ]),
  )
