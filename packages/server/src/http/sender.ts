import { addressKey, LOOPBACK_KEY } from '@sandlot/protocol'

/**
 * Returns the key under which limits count a sender: an IPv4 address, or the /64 of an IPv6 address, as a /64 usually
 * belongs to one user. Undefined for the loopback: through a proxy on this machine, one caller would lock out all others.
 */
export function senderOf(address: string | undefined): string | undefined {
  // a closed connection has no address
  if (address === undefined) return 'unknown'
  const key = addressKey(address)
  return key === LOOPBACK_KEY ? undefined : key
}
