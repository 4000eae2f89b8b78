/**
 * Addresses of one internet: 16 consecutive ones of a range for documentation (RFC 5737). All services listen on all of
 * them; the names tell what tests use an address for.
 */
export interface Addresses {
  /** Resolver of the machine under test. */
  dns: string
  /** Where `allowed.test` is. */
  web: string
  /** Where `denied.test` is. */
  other: string
  /** Where no name leads to. */
  nameless: string
  /** Where `shared-allowed.test` and `shared-denied.test` are, like customers of one CDN. */
  shared: string
  socks: string
  echo: string
  /** Another resolver, with the same answers. */
  otherDns: string
  /** Swallows every packet. */
  blackhole: string
  /** Of a private range, with all services: what a rebinding attack wants to reach. */
  private: string
}

/** From `nameless` to `echo` they are a block of four, which is a multiple of four away from the first. */
const ORDER = ['dns', 'web', 'other', 'nameless', 'shared', 'socks', 'echo', 'otherDns', 'blackhole'] as const
export const BLOCK_SIZE = 16
const BLOCKS_A_RANGE = 256 / BLOCK_SIZE
const RANGES = ['198.51.100', '203.0.113']
export const BLOCKS = RANGES.length * BLOCKS_A_RANGE

/** First address of a block without its last number, and that number. */
const startOf = (block: number): [prefix: string, first: number] => [
  RANGES[Math.floor(block / BLOCKS_A_RANGE)]!,
  (block % BLOCKS_A_RANGE) * BLOCK_SIZE,
]

export function addressesOf(block: number): Addresses {
  const [prefix, first] = startOf(block)
  const named = Object.fromEntries(ORDER.map((name, index) => [name, `${prefix}.${first + index + 1}`]))
  return { ...named, private: linkOf(block).far } as unknown as Addresses
}

/** CIDR of all public addresses of a block. */
export function rangeOfBlock(block: number): string {
  const [prefix, first] = startOf(block)
  return `${prefix}.${first}/${32 - Math.log2(BLOCK_SIZE)}`
}

/** Ends of the link between the machine and the internet. */
export const linkOf = (block: number): { near: string; far: string } => ({
  near: `10.254.250.${4 * block + 1}`,
  far: `10.254.250.${4 * block + 2}`,
})

export const isInBlock = (address: string, block: number): boolean => {
  const [prefix, first] = startOf(block)
  const last = Number(address.slice(address.lastIndexOf('.') + 1))
  return address.startsWith(`${prefix}.`) && last >= first && last < first + BLOCK_SIZE
}

export const PORTS = {
  /** Echo over TCP and UDP. */
  echo: [7, 853, 9_000, 9_001],
  /** A protocol in which the server speaks first, like SMTP. */
  serverFirst: 2_525,
  socks: 1_080,
  /** SOCKS5 that asks for the user `user` with password `pass`. */
  socksWithPassword: 1_081,
  /** TLS around `socksWithPassword`, for the name `socks.test`. */
  socksOverTls: 1_082,
  /** HTTP and HTTPS at ports that no rule for names holds for. */
  http: [80, 8_080],
  https: [443, 8_443],
}
