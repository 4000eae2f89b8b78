import { SandlotError } from '@sandlot/protocol'

/** IPv4 CIDR blocks, searched in at most 33 steps, whatever their number. */
export class RangeSet {
  /** Bits of the networks by prefix length, longest prefix first, with the text of each block. */
  readonly #networks: Array<[shift: number, texts: Map<number, string>]>

  /** @throws SandlotError invalid_request */
  constructor(cidrs: Iterable<string>) {
    const byShift = new Map<number, Map<number, string>>()
    for (const cidr of cidrs) {
      const { address, bits } = parseCidr(cidr)
      const shift = 32 - bits
      const texts = byShift.get(shift) ?? new Map<number, string>()
      byShift.set(shift, texts.set(network(address, shift), cidr))
    }
    this.#networks = [...byShift].sort(([a], [b]) => a - b)
  }

  /** Returns the smallest block that contains an address, as it was given. */
  find(address: string): string | undefined {
    const number = parseAddress(address)
    if (number === undefined) return undefined
    for (const [shift, texts] of this.#networks) {
      const text = texts.get(network(number, shift))
      if (text !== undefined) return text
    }
    return undefined
  }
}

/** Where Linux reaches the host itself. */
const LOOPBACK = new RangeSet(['0.0.0.0/8', '127.0.0.0/8'])

/**
 * Ranges that no sandbox reaches, with the administrator's exceptions. The proxy connects as the host, for which the
 * firewall opens everything, so what no exception may open is checked here: the host itself and the other sandboxes.
 */
export class ClosedRanges {
  readonly #closed: RangeSet
  readonly #allowed: RangeSet
  readonly #sandboxes: RangeSet
  readonly #hostNetworks: () => string[]
  #lastNetworks: string[] = []
  #hostRanges = new RangeSet([])
  #hostAddresses = new Set<string>()

  /**
   * @param hostNetworks networks and addresses of the host, which change while the process runs. Addresses, which have no
   *   prefix length, are closed to exceptions too. Called for every decision: return the array of the last call while
   *   nothing has changed
   * @param sandboxRange from which sandboxes have their addresses; closed to exceptions too
   */
  constructor(
    closed: string[],
    allowed: string[],
    hostNetworks: () => string[] = () => NO_NETWORKS,
    sandboxRange?: string,
  ) {
    this.#closed = new RangeSet(closed)
    this.#allowed = new RangeSet(allowed)
    this.#sandboxes = new RangeSet(sandboxRange === undefined ? [] : [sandboxRange])
    this.#hostNetworks = hostNetworks
  }

  /** What is no IPv4 address is closed. */
  has(address: string): boolean {
    if (parseAddress(address) === undefined) return true
    this.#followHost()
    if (this.#hostAddresses.has(address) || this.#sandboxes.find(address) !== undefined) return true
    if (this.#closed.find(address) === undefined && this.#hostRanges.find(address) === undefined) return false
    return this.#allowed.find(address) === undefined || LOOPBACK.find(address) !== undefined
  }

  #followHost(): void {
    const networks = this.#hostNetworks()
    if (networks === this.#lastNetworks) return
    this.#lastNetworks = networks
    this.#hostRanges = new RangeSet(networks)
    this.#hostAddresses = new Set(networks.filter((entry) => !entry.includes('/')))
  }
}

const NO_NETWORKS: string[] = []

function parseCidr(cidr: string): { address: number; bits: number } {
  const [text, length] = cidr.split('/')
  const address = parseAddress(text!)
  const bits = length === undefined ? 32 : Number(length)
  if (address === undefined || !(Number.isInteger(bits) && bits >= 0 && bits <= 32 && length !== ''))
    throw new SandlotError(
      'invalid_request',
      `'${cidr}' is not an IPv4 CIDR block, e.g. 203.0.113.0/24 or 203.0.113.7`,
    )
  return { address, bits }
}

/** Shifts by 32 would do nothing in JavaScript. */
function network(address: number, shift: number): number {
  return shift === 32 ? 0 : (address >>> shift) >>> 0
}

/** Returns the 32 bits of a dotted address without leading zeros. */
function parseAddress(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (!match) return undefined
  let number = 0
  for (const octet of match.slice(1)) {
    if (Number(octet) > 255 || (octet.length > 1 && octet.startsWith('0'))) return undefined
    number = number * 256 + Number(octet)
  }
  return number
}
