import { readFileSync, writeFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import type { InstanceNames } from './names.ts'
import type { NetworkPolicy } from './node.ts'
import { run } from './run.ts'
import type { Slot } from './slots.ts'

/** Where every sandbox sends DNS queries; never routed: the firewall rewrites it to the host's own resolver. */
export const DNS_ADDRESS = '169.254.53.53'

/**
 * Never reachable from a sandbox: private, shared, loopback, link-local (cloud metadata), documentation, 6to4 relays,
 * benchmarks, multicast, reserved. All of RFC 6890 that is not globally reachable.
 */
export const BLOCKED_RANGES = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]

export interface FirewallOptions {
  names: InstanceNames
  /** The slots' CIDR, masqueraded on its way out. */
  range: string
  /** Resolver that DNS goes to. */
  dns: string
  /** Holes in BLOCKED_RANGES that an administrator opens. */
  allowedRanges?: string[]
}

/** What the rules know a slot by. */
export type SlotKey = Pick<Slot, 'interfaceName' | 'address'>

/**
 * The whole table, replaced atomically; nothing outside it is touched. Only what is in `open` gets out: by interface
 * and address, each slot's sandbox being the third address of its /30.
 */
export function firewallRules(
  { names, range, dns, allowedRanges = [] }: FirewallOptions,
  open: readonly SlotKey[] = [],
): string {
  const slots = `"${names.vethPrefix}*"`
  const allowed = allowedRanges.length > 0 ? `ip daddr { ${allowedRanges.join(', ')} } accept` : ''
  return `
table inet ${names.nftTable} {}
flush table inet ${names.nftTable}
table inet ${names.nftTable} {
  set open { type ifname . ipv4_addr; ${open.length > 0 ? `elements = { ${open.map(elementOf).join(', ')} };` : ''} }
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
  chain from_sandbox {
    iifname . ip saddr != @open drop
    ct status dnat ip daddr ${dns} udp dport 53 accept
    ct status dnat ip daddr ${dns} tcp dport 53 accept
    ${allowed}
    ip daddr { ${BLOCKED_RANGES.join(', ')} } drop
    accept
  }
  chain outgoing_nat {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${range} oifname != ${slots} masquerade
  }
}
`
}

const elementOf = ({ interfaceName, address }: SlotKey): string => `"${interfaceName}" . ${address}`

export interface Firewall {
  /** Replaces the table in one transaction: `open` are the slots that may reach the internet, all others are closed. */
  install(open: readonly SlotKey[]): Promise<void>
  /** Resolves when it is in force; a slot is closed until then. */
  setPolicy(slot: SlotKey, policy: NetworkPolicy): Promise<void>
  remove(): Promise<void>
}

export function createFirewall(options: FirewallOptions): Firewall {
  const table = options.names.nftTable
  const nft = (input: string) => run('nft', ['-f', '-'], { input, timeoutMs: 10_000 })
  const open = new Set<string>()
  return {
    async install(slots) {
      writeFileSync('/proc/sys/net/ipv4/ip_forward', '1')
      await nft(firewallRules(options, slots))
      open.clear()
      for (const slot of slots) open.add(elementOf(slot))
    },
    async setPolicy(slot, { allowInternetAccess }) {
      const element = elementOf(slot)
      if (allowInternetAccess === open.has(element)) return
      await nft(`${allowInternetAccess ? 'add' : 'delete'} element inet ${table} open { ${element} }\n`)
      if (allowInternetAccess) open.add(element)
      else open.delete(element)
    },
    async remove() {
      await nft(`table inet ${table} {}\ndelete table inet ${table}\n`)
    },
  }
}

/** First IPv4 resolver of the host that is not a loopback stub. */
export function hostResolver(): string | undefined {
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    try {
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        const address = /^nameserver\s+(\S+)/.exec(line)?.[1]
        if (address && isIPv4(address) && !address.startsWith('127.')) return address
      }
    } catch {}
  }
  return undefined
}
