import { type Placeholder, parseHeaderValue, SandlotError } from '@sandlot/protocol'
import type { SandboxNetworkRules } from '@sandlot/protocol/rest'
import { nameOf } from './network-entries.ts'

const MAX_DOMAINS = 10
const MAX_DOMAIN_LENGTH = 128
const MAX_HEADERS = 20
const MAX_HEADER_NAME_LENGTH = 64
const MAX_HEADER_VALUE_LENGTH = 2048
const MAX_SECRETS = 32

/** Characters of a header name (RFC 9110, section 5.6.2). */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
/** Characters of a header value (RFC 9110, section 5.5). */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
/** Headers that say where a request ends and how it is passed on; the proxy writes them. */
const RESERVED = [
  ...['connection', 'content-length', 'expect', 'host', 'keep-alive', 'proxy-authenticate'],
  ...['proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
]

export type Rules = NonNullable<SandboxNetworkRules['rules']>

/** Checks rules by domain. @throws SandlotError invalid_request */
export function checkRules(rules: Rules): void {
  const domains = Object.keys(rules)
  if (domains.length > MAX_DOMAINS)
    throw invalid(`network rules can have at most ${MAX_DOMAINS} domains, but they have ${domains.length}`)
  const seen = new Map<string, string>()
  for (const domain of domains) {
    if (domain.length > MAX_DOMAIN_LENGTH)
      throw invalid(
        `network rule domain ${domain.slice(0, MAX_DOMAIN_LENGTH)}… has ${domain.length} characters, at most ${MAX_DOMAIN_LENGTH} are allowed`,
      )
    const name = nameOf(domain)
    if (name === undefined || name === '*')
      throw invalid(
        `invalid network rule domain ${domain}: it must be a domain, for example api.example.com or *.example.com`,
      )
    const other = seen.get(name)
    if (other !== undefined) throw invalid(`network rule domains ${other} and ${domain} are the same`)
    seen.set(name, domain)
    checkTransform(domain, rules[domain]!)
  }
}

function checkTransform(domain: string, entries: Rules[string]): void {
  const transforms = entries.filter(({ transform }) => transform !== undefined)
  if (transforms.length > 1)
    throw invalid(`network rules of ${domain} can have 1 transform, but they have ${transforms.length}`)
  const headers = Object.entries(transforms[0]?.transform?.headers ?? {})
  if (headers.length > MAX_HEADERS)
    throw invalid(
      `network transform of ${domain} can set at most ${MAX_HEADERS} headers, but it has ${headers.length}`,
    )
  const seen = new Set<string>()
  const secrets = new Set<string>()
  for (const [name, value] of headers) {
    checkHeaderName(domain, name)
    const key = name.toLowerCase()
    if (seen.has(key))
      throw invalid(`network transform of ${domain} sets the header ${name} twice: case does not count`)
    seen.add(key)
    checkHeaderValue(domain, name, value)
    for (const { kind, name: secret } of placeholdersIn(value)) if (kind === 'secret') secrets.add(secret)
  }
  if (secrets.size > MAX_SECRETS)
    throw invalid(
      `network transform of ${domain} can use at most ${MAX_SECRETS} secrets, but it uses ${secrets.size}`,
    )
}

function checkHeaderName(domain: string, name: string): void {
  const shown = JSON.stringify(name.slice(0, MAX_HEADER_NAME_LENGTH))
  if (name.length > MAX_HEADER_NAME_LENGTH)
    throw invalid(
      `network transform header name ${shown}… of ${domain} has ${name.length} characters, at most ${MAX_HEADER_NAME_LENGTH} are allowed`,
    )
  if (!TOKEN.test(name))
    throw invalid(
      `invalid network transform header name ${shown} of ${domain}: letters, digits and !#$%&'*+-.^_\`|~ are allowed`,
    )
  if (RESERVED.includes(name.toLowerCase()))
    throw invalid(`network transform header ${name} of ${domain} cannot be set: the proxy writes it itself`)
}

/** Messages never repeat a value, which may be a password. */
function checkHeaderValue(domain: string, name: string, value: string): void {
  if (value.length > MAX_HEADER_VALUE_LENGTH)
    throw invalid(
      `network transform header ${name} of ${domain} has a value of ${value.length} characters, at most ${MAX_HEADER_VALUE_LENGTH} are allowed`,
    )
  if (!VALUE.test(value))
    throw invalid(
      `network transform header ${name} of ${domain} has a value with control characters, or with characters that are not Latin-1`,
    )
  if (parseHeaderValue(value) === undefined)
    throw invalid('Network transform header contains a malformed E2B placeholder.')
}

/** Placeholders of a value that was checked. */
export const placeholdersIn = (value: string): Placeholder[] =>
  (parseHeaderValue(value) ?? []).filter((part) => typeof part !== 'string')

/** Headers of the one transform of a domain's rules; undefined when the rules set none. */
export function headersOf(entries: Rules[string]): Record<string, string> | undefined {
  const headers = entries.find(({ transform }) => transform !== undefined)?.transform?.headers
  return headers && Object.keys(headers).length > 0 ? headers : undefined
}

const invalid = (message: string): SandlotError => new SandlotError('invalid_request', message)
