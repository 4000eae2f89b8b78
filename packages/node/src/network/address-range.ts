import { SandlotError } from '@sandlot/protocol'

/** Addresses of one slot, from a /30 of the instance's range. */
export interface SlotAddresses {
  gateway: string
  sandbox: string
}

/** An IPv4 CIDR, divided into /30 slots. */
export interface AddressRange {
  cidr: string
  slotCount: number
  slot(index: number): SlotAddresses
}

/** @throws SandlotError invalid_request when `cidr` is not an IPv4 CIDR between /12 and /28 */
export function parseAddressRange(cidr: string): AddressRange {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/.exec(cidr)
  const octets = match?.slice(1, 5).map(Number) ?? []
  const bits = Number(match?.[5])
  if (!match || octets.some((octet) => octet > 255) || bits < 12 || bits > 28)
    throw new SandlotError(
      'invalid_request',
      `network range '${cidr}' is not an IPv4 CIDR between /12 and /28, e.g. 10.177.0.0/16`,
    )
  const number = octets.reduce((sum, octet) => sum * 256 + octet, 0)
  const size = 2 ** (32 - bits)
  if (number % size !== 0)
    throw new SandlotError(
      'invalid_request',
      `network range '${cidr}' has bits set below /${bits}; use ${format(number - (number % size))}/${bits}`,
    )
  const slotCount = size / 4
  return {
    cidr,
    slotCount,
    slot: (index) => ({ gateway: format(number + index * 4 + 1), sandbox: format(number + index * 4 + 2) }),
  }
}

const format = (number: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.')
