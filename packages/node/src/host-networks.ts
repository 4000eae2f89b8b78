import { networkInterfaces } from 'node:os'

/** So many of each are blocked; a machine with more has them in ranges that are blocked anyway. */
const MAX_ENTRIES = 256
/** A shorter prefix is the route of a VPN that takes all traffic, not a network that the host lies on. */
const MIN_PREFIX = 8

/** What the host itself is and lies on; IPv4. */
export interface HostNetworks {
  /** Its own addresses. */
  addresses: string[]
  /** CIDRs of the networks on its interfaces, public ones too. */
  networks: string[]
}

/** @param ignoredPrefix of interfaces that do not count: the slots' own */
export function hostNetworks(ignoredPrefix: string, interfaces = networkInterfaces()): HostNetworks {
  const addresses = new Set<string>()
  const networks = new Set<string>()
  for (const [name, entries = []] of Object.entries(interfaces)) {
    if (name.startsWith(ignoredPrefix)) continue
    for (const { family, address, cidr } of entries) {
      if (family !== 'IPv4') continue
      addresses.add(address)
      if (cidr && Number(cidr.split('/')[1]) >= MIN_PREFIX) networks.add(networkOf(cidr))
    }
  }
  const bounded = (set: Set<string>) => [...set].sort().slice(0, MAX_ENTRIES)
  return { addresses: bounded(addresses), networks: bounded(networks) }
}

function networkOf(cidr: string): string {
  const [address, bits] = cidr.split('/') as [string, string]
  let left = Number(bits)
  const octets = address.split('.').map((octet) => {
    const kept = Math.min(8, Math.max(0, left))
    left -= 8
    return Number(octet) & (0xff << (8 - kept)) & 0xff
  })
  return `${octets.join('.')}/${bits}`
}
