/** A block of IPv4 addresses. */
export interface Cidr {
  /** First address, as a number. */
  network: number
  /** Length of the prefix, 0 to 32. */
  bits: number
}

const NUMBER_OF_ADDRESSES = 2 ** 32

/** Parses `192.0.2.0/24`, or an address, as /32. Bits below the prefix are cleared. The text must be valid. */
export function parseCidr(text: string): Cidr {
  const [address, bits = '32'] = text.split('/')
  return networkOf(toNumber(address!), Number(bits))
}

export function toNumber(address: string): number {
  const [a, b, c, d] = address.split('.')
  return Number(a) * 2 ** 24 + Number(b) * 2 ** 16 + Number(c) * 256 + Number(d)
}

export const toAddress = (number: number): string =>
  `${number >>> 24}.${(number >>> 16) & 255}.${(number >>> 8) & 255}.${number & 255}`

export const contains = ({ network, bits }: Cidr, address: number): boolean =>
  networkOf(address, bits).network === network

/** Returns the block with this prefix length that contains an address. */
export function networkOf(address: number, bits: number): Cidr {
  const size = 2 ** (32 - bits)
  return { network: address - (address % size), bits }
}

/** Returns the mask of a prefix length, e.g. `255.255.255.0` for 24. */
export const maskOf = (bits: number): string => toAddress(NUMBER_OF_ADDRESSES - 2 ** (32 - bits))

/** Returns the address of which only the first bit after the prefix is set, e.g. `0.0.0.128` for 24. At most 31 bits. */
export const endOf = (bits: number): string => toAddress(2 ** (31 - bits))
