import { addressKey, LOOPBACK_KEY } from '@sandlot/protocol'

/**
 * Returns the key that a limit by address counts by: an IPv4 address, or the /64 network of an IPv6 address, all of which
 * usually belong to one user. Undefined for the loopback: behind a proxy there, one caller would lock out all others.
 */
export function senderOf(address: string | undefined): string | undefined {
  // a closed connection has no address
  if (address === undefined) return 'unknown'
  const key = addressKey(address)
  return key === LOOPBACK_KEY ? undefined : key
}
