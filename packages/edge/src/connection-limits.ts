import { addressKey, LOOPBACK_KEY } from '@sandlot/protocol'

export interface ConnectionLimitsOptions {
  /** Maximum number of open connections. Default 8192. */
  maxConnections?: number
  /**
   * Maximum number of open connections of one address (IPv6: of one /64); 0 means no limit. Loopback addresses have
   * no limit, as a proxy may connect from there. Default 1000.
   */
  maxConnectionsPerAddress?: number
}

/** The limit that a new connection would exceed, with its value. */
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

  /** @returns a function that frees the place, to be called once; or the limit that is reached */
  take(address: string | undefined): (() => void) | LimitReached {
    if (this.#total >= this.#maxTotal) return { of: 'server', limit: this.#maxTotal }
    const key = addressKey(address ?? '')
    if (this.#maxPerAddress === 0 || key === LOOPBACK_KEY) {
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
