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

/** For messages and terminals: nothing of a password is shown. */
export function withoutPassword(text: string): string {
  // also what is no URL may hold one
  return text
    .replace(/^(\w+:\/\/[^:@/?]*):.*@/, '$1@')
    .replace(/([?&](?:password|sslpassword)=)[^&]*/g, '$1…')
}

function parse(text: string): URL {
  try {
    // a URL of a Unix socket has no host, which `URL` refuses beside a user: postgres://sandlot@/sandlot?host=/run/postgresql
    return new URL(text.replace(/^(postgres(?:ql)?:\/\/[^/?]*@)\//, '$1localhost/'))
  } catch {
    throw wrong(text)
  }
}

const wrong = (text: string): SandlotError =>
  new SandlotError(
    'invalid_request',
    `the store is '${withoutPassword(text)}'; it must be sqlite:<path> or postgres://<user>:<password>@<host>/<database>`,
  )
