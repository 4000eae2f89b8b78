import { addressKey, LOOPBACK_KEY } from '@sandlot/protocol'

/**
 * Whom a limit by address counts: an IPv4 address, or an IPv6 one with the other 2^64 of its network, since whoever has
 * one of them has them all. Undefined for the loopback: a proxy may stand there, and one caller would lock out all others.
 */
export function senderOf(address: string | undefined): string | undefined {
  // a client that has gone has none
  if (address === undefined) return 'unknown'
  const key = addressKey(address)
  return key === LOOPBACK_KEY ? undefined : key
}
