import type { InstanceNames } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import type { HostNetworks } from './host-networks.ts'
import type { Slot } from './slot.ts'

export interface FirewallRulesOptions {
  names: InstanceNames
  /** CIDR of the slots; outgoing packets are masqueraded. */
  range: string
  /** Resolver that answers DNS queries. */
  dns: string
  /** Exceptions from BLOCKED_RANGES and the host's networks, set by an administrator. */
  allowedRanges?: string[]
  /** Maximum of concurrent outgoing connections of one sandbox; more are dropped. */
  maxConnections: number
}

/** Identifies a slot in the rules. */
export type SlotKey = Pick<Slot, 'interfaceName' | 'address'>

/** Formats an element of the set `open`. */
export const elementOf = ({ interfaceName, address }: SlotKey): string => `"${interfaceName}" . ${address}`

export interface RuleState {
  /** Set elements of slots with a sandbox that may reach the internet. */
  open: Iterable<string>
  host: HostNetworks
}

const elements = (all: readonly string[]): string =>
  all.length > 0 ? `elements = { ${all.join(', ')} };` : ''
const blockedOf = ({ addresses, networks }: HostNetworks): string[] => [...addresses, ...networks]

/**
 * Returns the commands that replace the instance's table atomically, without touching other tables. Only slots in `open`
 * may send packets out, by interface and address; the sandbox of a slot has the third address of its /30.
 */
export function firewallRules(
  { names, range, dns, allowedRanges = [], maxConnections }: FirewallRulesOptions,
  { open, host }: RuleState,
): string {
  const slots = `"${names.vethPrefix}*"`
  const allowed = allowedRanges.length > 0 ? `ip daddr { ${allowedRanges.join(', ')} } goto admitted` : ''
  return `
table inet ${names.nftTable} {}
delete table inet ${names.nftTable}
table inet ${names.nftTable} {
  set open { type ifname . ipv4_addr; ${elements([...open])} }
  set host_networks { type ipv4_addr; flags interval; auto-merge; ${elements(blockedOf(host))} }
  set connections { type ifname; size 65535; flags dynamic; }
  chain source_check {
    type filter hook prerouting priority raw; policy accept;
    iifname ${slots} meta nfproto ipv6 drop
    iifname ${slots} ip saddr & 0.0.0.3 != 0.0.0.2 drop
    iifname ${slots} fib saddr . iif oif 0 drop
    iifname ${slots} icmp type redirect drop
  }
  chain dns_redirect {
    type nat hook prerouting priority dstnat; policy accept;
    iifname ${slots} ip daddr ${DNS_ADDRESS} udp dport 53 dnat ip to ${dns}
    iifname ${slots} ip daddr ${DNS_ADDRESS} tcp dport 53 dnat ip to ${dns}
  }
  chain to_host {
    type filter hook input priority filter; policy accept;
    iifname ${slots} ct state established,related accept
    iifname ${slots} drop
  }
  chain routed {
    type filter hook forward priority filter; policy accept;
    iifname ${slots} oifname ${slots} drop
    oifname ${slots} ct state established,related accept
    oifname ${slots} drop
    iifname ${slots} jump from_sandbox
  }
  chain admitted {
    ct state new add @connections { iifname ct count over ${maxConnections} } drop
    accept
  }
  chain from_sandbox {
    iifname . ip saddr != @open drop
    ct status dnat ip daddr ${dns} udp dport 53 goto admitted
    ct status dnat ip daddr ${dns} tcp dport 53 goto admitted
    ${allowed}
    ip daddr @host_networks drop
    ip daddr { ${BLOCKED_RANGES.join(', ')} } drop
    goto admitted
  }
  chain outgoing_nat {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${range} oifname != ${slots} masquerade
  }
}
`
}

/** Returns the command that updates the host's networks in an installed table, in one transaction and one line. */
export const hostNetworksUpdate = (table: string, host: HostNetworks): string => {
  const all = blockedOf(host)
  const add = all.length > 0 ? `; add element inet ${table} host_networks { ${all.join(', ')} }` : ''
  return `flush set inet ${table} host_networks${add}`
}

/** Splits the output of `nft list table`: rules, which only this server changes, and the elements of `open`. */
export function readTable(listed: string): { rules: string; open: Set<string> } {
  const open = new Set<string>()
  const rules = listed.replace(
    /(\tset (open|connections) \{\n(?:\t\t(?!elements).*\n)*)\t\telements = \{([^}]*)\}\n/g,
    (_, head: string, name: string, body: string) => {
      if (name === 'open')
        for (const [, interfaceName, address] of body.matchAll(/"([^"]+)" \. ([\d.]+)/g))
          open.add(elementOf({ interfaceName: interfaceName!, address: address! }))
      return head
    },
  )
  return { rules, open }
}
