import { SandlotError } from '@sandlot/protocol'

export type StoreKind = 'sqlite' | 'postgres'

/** `path` of a SQLite file, or the URL of a PostgreSQL database. */
export type StoreAddress = { kind: 'sqlite'; path: string } | { kind: 'postgres'; url: string }

/** @throws SandlotError invalid_request */
export function parseStoreUrl(text: string): StoreAddress {
  if (text === ':memory:') return { kind: 'sqlite', path: text }
  if (text.startsWith('sqlite:') && text.length > 'sqlite:'.length)
    return { kind: 'sqlite', path: text.slice('sqlite:'.length) }
  if (!/^postgres(ql)?:\/\//.test(text)) throw wrong(text)
  const parsed = parse(text)
  if (parsed.pathname.length < 2)
    throw new SandlotError(
      'invalid_request',
      `the store '${withoutPassword(text)}' names no database: write it behind the host, as in postgres://sandlot@db.example.com/sandlot`,
    )
  return { kind: 'postgres', url: text }
}

/** Parameters of a URL that messages may show. */
const SHOWN_PARAMETERS = new Set(['host', 'port', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey'])

/**
 * Formats a store for messages and terminals. A password may stand anywhere in a URL that somebody mistyped, so only what
 * certainly belongs to another part is shown.
 */
export function withoutPassword(text: string): string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/*)?(.*)$/is.exec(text)!
  const parts = /^postgres(ql)?:\/\/$/.test(scheme) && shownParts(text)
  if (parts) return `${scheme}${parts}`
  // a path, also one with `sqlite:` forgotten
  if (/^(sqlite:\/*)?$/i.test(scheme) && /^[\w./ -]*$/.test(rest)) return text
  return scheme.endsWith('/') ? `${scheme}…` : '…'
}

/** @returns undefined: an `@` behind the host, or a user with a colon, may be part of a password */
function shownParts(text: string): string | undefined {
  const url = URL.parse(withHost(text))
  if (url?.hash !== '' || /%3a/i.test(url.username)) return undefined
  if (`${url.pathname}${url.search}`.includes('@')) return undefined
  const authority = text.slice(text.indexOf('//') + 2).replace(/[/?].*$/s, '')
  const user = url.username && `${url.username}@`
  const host = authority.slice(authority.lastIndexOf('@') + 1)
  const parameters = url.search
    .slice(1)
    .split('&')
    .filter(Boolean)
    .map((parameter) => (SHOWN_PARAMETERS.has(parameter.replace(/=.*$/s, '')) ? parameter : '…'))
  return `${user}${host}${url.pathname}${parameters.length > 0 ? '?' : ''}${parameters.join('&')}`
}

/** `URL` refuses a user without a host, as in the URL of a Unix socket: postgres://sandlot@/sandlot?host=/run/postgresql */
const withHost = (text: string): string => text.replace(/^(postgres(?:ql)?:\/\/[^/?]*@)\//, '$1localhost/')

/** @returns names and values behind the `?`; nothing when `text` is no URL */
export const parametersOf = (text: string): Iterable<[string, string]> =>
  URL.parse(withHost(text))?.searchParams ?? []

function parse(text: string): URL {
  try {
    return new URL(withHost(text))
  } catch {
    throw wrong(text)
  }
}

const wrong = (text: string): SandlotError =>
  new SandlotError(
    'invalid_request',
    `the store is '${withoutPassword(text)}'; it must be sqlite:<path> or postgres://<user>:<password>@<host>/<database>`,
  )
