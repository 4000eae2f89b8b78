import type { Addresses } from '../addresses.ts'

/** What the name server answers for a name. */
export interface Entry {
  a?: string[]
  aaaa?: string[]
  cname?: string
  /** The answer comes so late. */
  delayMs?: number
  /** Over UDP there is only a truncated answer, so that clients ask again over TCP. */
  isTruncated?: boolean
}

/** Names by lower-case name; `*.x` stands for all names below x that have no entry. Tests change single names. */
export type Zone = Record<string, Entry>

const SLOW_MS = 1_200

/** The names of an internet. Names of the documentation's examples are there too. */
export function zoneOf({ web, other, shared, socks, echo, blackhole, private: own }: Addresses): Zone {
  const at = (...a: string[]): Entry => ({ a })
  return {
    'allowed.test': at(web),
    '*.allowed.test': at(web),
    'denied.test': at(other),
    '*.denied.test': at(other),
    'notallowed.test': at(web),
    'shared-allowed.test': at(shared),
    'shared-denied.test': at(shared),
    'rebind.test': at(web),
    'private.test': at(own),
    'loopback.test': at('127.0.0.1'),
    'metadata.test': at('169.254.169.254'),
    'mixed.test': at(own, web),
    'mapped.test': { aaaa: [`::ffff:${own}`] },
    'many.test': at(blackhole, other, web),
    'silent.test': at(blackhole),
    'slow.test': { a: [web], delayMs: SLOW_MS },
    'truncated.test': { a: [web, other, shared], isTruncated: true },
    'alias.test': { cname: 'allowed.test' },
    'alias-of-denied.test': { cname: 'denied.test' },
    'xn--bcher-kva.test': at(web),
    'wrong-certificate.test': at(web),
    'untrusted.test': at(web),
    'socks.test': at(socks),
    'private-socks.test': at(own),
    'echo.test': at(echo),
    'registry.test': at(web),
    'example.com': at(web),
    '*.example.com': at(web),
    'github.com': at(web),
    '*.github.com': at(web),
  }
}

/** Its certificate is of an authority that nobody trusts. */
export const UNTRUSTED = 'untrusted.test'
const WITHOUT_CERTIFICATE = ['wrong-certificate.test', UNTRUSTED]

/** Names that the internet's certificate is for. */
export const certificateNames = (zone: Zone): string[] =>
  [...Object.keys(zone), '*.sub.allowed.test'].filter((name) => !WITHOUT_CERTIFICATE.includes(name))
