import { isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'
import { contains, parseCidr, toAddress, toNumber } from '@sandlot/protocol/cidr'

const MAX_NAME_LENGTH = 253
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/

/**
 * Reads an IPv4 address or CIDR block.
 * @returns the block without host bits, e.g. `10.1.0.0/16` for `10.1.2.3/16` and `1.1.1.1/32` for `1.1.1.1`; undefined
 * for anything else, and for the unspecified address other than as `0.0.0.0/0`
 */
export function rangeOf(entry: string): string | undefined {
  const [address = '', bits = '32', rest] = entry.split('/')
  if (rest !== undefined || !isIPv4(address) || !/^(\d|[12]\d|3[0-2])$/.test(bits)) return undefined
  const length = Number(bits)
  if (address === '0.0.0.0' && length > 0) return undefined
  return `${toAddress(parseCidr(entry).network)}/${length}`
}

/** Whether an IPv4 address is in a CIDR block. */
export const isInRange = (address: string, range: string): boolean =>
  contains(parseCidr(range), toNumber(address))

/**
 * Reads a domain name, `*.` and a name, or `*`.
 * @returns the name as packets carry it: lower-case, in punycode, without a trailing dot; undefined for anything else,
 * such as addresses in unusual notation
 */
export function nameOf(entry: string): string | undefined {
  if (entry === '*') return entry
  const prefix = entry.startsWith('*.') ? '*.' : ''
  const text = entry.slice(prefix.length)
  // other characters are decoded or skipped by domainToASCII, which follows the rules for URLs
  if (!/^[\p{L}\p{N}\p{M}._-]+$/u.test(text)) return undefined
  const name = domainToASCII(text).replace(/\.$/, '')
  const isName = name.split('.').every((label) => LABEL.test(label))
  return isName && !isIPv4(name) && name.length <= MAX_NAME_LENGTH ? prefix + name : undefined
}

/** Whether some name that `pattern` stands for is also one of `other`; both as `nameOf` returns them. */
export function overlap(pattern: string, other: string): boolean {
  if (pattern === '*' || other === '*' || pattern === other) return true
  return isBelow(pattern, other) || isBelow(other, pattern)
}

const isBelow = (name: string, pattern: string): boolean =>
  pattern.startsWith('*.') && name.endsWith(pattern.slice(1)) && name !== pattern
