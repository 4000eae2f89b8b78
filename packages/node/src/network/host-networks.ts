import { BlockList } from 'node:net'
import { networkInterfaces } from 'node:os'
import { parseCidr, toAddress, toNumber } from '@sandlot/protocol/cidr'
import { isSlotInterface } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'

/** Limit of addresses and of networks; those in ranges that are blocked anyway are left out first. */
const MAX_ENTRIES = 256
/** A shorter prefix is the route of a VPN for all traffic, not a network of the host. */
const MIN_PREFIX = 8

/** IPv4 addresses and networks of the host. */
export interface HostNetworks {
  /** Its own addresses. */
  addresses: string[]
  /** CIDRs of the networks on its interfaces, public ones too. */
  networks: string[]
}

const blocked = new BlockList()
for (const range of BLOCKED_RANGES) {
  const [network, bits] = range.split('/') as [string, string]
  blocked.addSubnet(network, Number(bits))
}
const isBlocked = (cidr: string): boolean => blocked.check(cidr.split('/')[0]!)

/** Reads the host's addresses and networks, without those of slots. */
export function hostNetworks(interfaces = networkInterfaces()): HostNetworks {
  const addresses = new Set<string>()
  const networks = new Set<string>()
  for (const [name, entries = []] of Object.entries(interfaces)) {
    if (isSlotInterface(name)) continue
    for (const { family, address, cidr } of entries) {
      if (family !== 'IPv4') continue
      addresses.add(address)
      if (cidr && Number(cidr.split('/')[1]) >= MIN_PREFIX) networks.add(networkOf(cidr))
    }
  }
  const bounded = (set: Set<string>) =>
    [...set]
      .sort()
      .sort((a, b) => Number(isBlocked(a)) - Number(isBlocked(b)))
      .slice(0, MAX_ENTRIES)
  return { addresses: bounded(addresses), networks: bounded(networks) }
}

/** Limit of addresses of sandboxes of other instances; far more than a machine has. */
const MAX_OTHER_SLOTS = 8_192

/**
 * Reads both ends of the slots of other instances on this machine, a gateway and a sandbox each.
 * @param ownPrefix of the interfaces of this instance's slots
 */
export function otherSlots(ownPrefix: string, interfaces = networkInterfaces()): string[] {
  const addresses: string[] = []
  for (const [name, entries = []] of Object.entries(interfaces)) {
    if (!isSlotInterface(name) || name.startsWith(ownPrefix)) continue
    for (const { family, address } of entries)
      if (family === 'IPv4') addresses.push(address, toAddress(toNumber(address) + 1))
  }
  return addresses.sort().slice(0, 2 * MAX_OTHER_SLOTS)
}

function networkOf(cidr: string): string {
  const { network, bits } = parseCidr(cidr)
  return `${toAddress(network)}/${bits}`
}
