import { isIPv6 } from 'node:net'

export interface ConnectionLimitsOptions {
  /** Open connections at one time. Default 8192. */
  maxConnections?: number
  /** Of one address (IPv6: of one /64); 0 for no limit. The loopback has none: a proxy may stand there. Default 1000. */
  maxConnectionsPerAddress?: number
}

/** Which limit a new connection would pass, with its value. */
export interface LimitReached {
  of: 'server' | 'address'
  limit: number
}

/** Counts open connections, in total and by address. */
export class ConnectionLimits {
  readonly #maxTotal: number
  readonly #maxPerAddress: number
  readonly #byAddress = new Map<string, number>()
  #total = 0

  constructor({ maxConnections = 8192, maxConnectionsPerAddress = 1000 }: ConnectionLimitsOptions) {
    this.#maxTotal = maxConnections
    this.#maxPerAddress = maxConnectionsPerAddress
  }

  /** @returns gives the place back, to be called once; or why there is none */
  take(address: string | undefined): (() => void) | LimitReached {
    if (this.#total >= this.#maxTotal) return { of: 'server', limit: this.#maxTotal }
    const key = addressKey(address ?? '')
    if (this.#maxPerAddress === 0 || key === LOOPBACK) {
      this.#total++
      return () => void this.#total--
    }
    const open = this.#byAddress.get(key) ?? 0
    if (open >= this.#maxPerAddress) return { of: 'address', limit: this.#maxPerAddress }
    this.#byAddress.set(key, open + 1)
    this.#total++
    return () => {
      this.#total--
      const left = this.#byAddress.get(key)! - 1
      if (left > 0) this.#byAddress.set(key, left)
      else this.#byAddress.delete(key)
    }
  }
}

const LOOPBACK = 'loopback'

/** What one caller is counted under: an IPv4 address, or the first half of an IPv6 one, since hosts get a whole /64. */
export function addressKey(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (plain.startsWith('127.') || plain === '::1') return LOOPBACK
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.split('%', 1)[0]!.split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const last = tail === '' ? [] : tail.split(':')
    while (groups.length + last.length < 8) groups.push('0')
    groups.push(...last)
  }
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')
}
