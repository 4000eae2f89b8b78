import type { Egress, EgressHost } from '@sandlot/protocol'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { addResolverRoute } from './diversion-route.ts'
import { DNS_ADDRESS } from './dns-address.ts'
import { type HostNetworks, hostNetworks } from './host-networks.ts'

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
  #networks: HostNetworks = { addresses: [], networks: [] }
  #ranges: string[] = []

  /** Reads them again. */
  read(): HostNetworks {
    const networks = hostNetworks()
    if (JSON.stringify(networks) !== JSON.stringify(this.#networks))
      this.#ranges = [...networks.addresses, ...networks.networks]
    this.#networks = networks
    return networks
  }

  /** Addresses and networks in one array, which is replaced when they change. */
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
