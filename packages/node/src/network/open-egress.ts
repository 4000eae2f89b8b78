import { networkInterfaces } from 'node:os'
import type { Egress, EgressHost } from '@sandlot/protocol'
import type { InstanceNames } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { addResolverRoute } from './diversion-route.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import { type HostNetworks, hostNetworks, otherSlots } from './host-networks.ts'

/** Starts the proxy and the resolver. @throws Error when this machine lacks what they need */
export type OpenEgress = (host: EgressHost) => Promise<Egress>

export interface EgressOpeningOptions {
  open: OpenEgress | undefined
  dns: string
  allowedRanges?: string[]
  maxConnections: number
  /** CIDR block of the slots. */
  range: string
  host: CurrentHost
  onError: (error: unknown) => void
}

/** The host's networks as they were read last. */
export class CurrentHost {
  readonly #slotPrefix: string
  #networks: HostNetworks = { addresses: [], networks: [] }
  #ranges: string[] = []

  /** @param names of this instance, whose slots are no networks of the host */
  constructor({ vethPrefix }: Pick<InstanceNames, 'vethPrefix'>) {
    this.#slotPrefix = vethPrefix
  }

  /** Reads them again. */
  read(interfaces = networkInterfaces()): HostNetworks {
    this.#networks = hostNetworks(interfaces)
    const { addresses, networks } = this.#networks
    // the firewall of another instance drops packets from sandboxes of this one, but not those of the proxy
    const ranges = [...addresses, ...otherSlots(this.#slotPrefix, interfaces), ...networks]
    if (ranges.join() !== this.#ranges.join()) this.#ranges = ranges
    return this.#networks
  }

  /**
   * Addresses and networks of the host, and addresses of sandboxes of other instances, for the proxy. One array, which is
   * replaced when they change.
   */
  ranges = (): string[] => this.#ranges
}

/**
 * Starts the proxy and the resolver on this machine.
 * @returns undefined when there are none, or the machine lacks what they need: then policies that need them are refused
 */
export async function openEgress(options: EgressOpeningOptions): Promise<Egress | undefined> {
  const { open, dns, allowedRanges = [], maxConnections, range, host, onError } = options
  if (!open) return undefined
  host.read()
  try {
    // before the resolver listens: the address is on no interface
    await addResolverRoute(DNS_ADDRESS)
    return await open({
      dns,
      dnsAddress: DNS_ADDRESS,
      closedRanges: BLOCKED_RANGES,
      allowedRanges,
      hostNetworks: host.ranges,
      sandboxRange: range,
      maxConnections,
    })
  } catch (cause) {
    onError(
      new Error('no proxy for the connections of sandboxes: network rules with names are refused', { cause }),
    )
    return undefined
  }
}
