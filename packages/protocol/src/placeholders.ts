/** A part of a header value that is replaced when a request passes. */
export interface Placeholder {
  kind: 'secret' | 'identityToken'
  /** Name of the secret, lower-case, or of the identity token. */
  name: string
}

/** Text and placeholders of a header value, in order. */
export type HeaderValueParts = Array<string | Placeholder>

const PREFIX = '${e2b.'
const KINDS: Array<[prefix: string, kind: Placeholder['kind']]> = [
  ['secrets.', 'secret'],
  ['identity.tokens.', 'identityToken'],
]

/** Names of identity tokens may contain blanks. */
const FORBIDDEN: Record<Placeholder['kind'], RegExp> = {
  secret: /[{}$\s]/,
  identityToken: /[{}\p{Cc}]/u,
}

/**
 * Splits a header value at its placeholders, `${e2b.secrets.<name>}` and `${e2b.identity.tokens.<name>}`.
 * @returns undefined when a placeholder is malformed: unknown, empty, nested or not closed
 */
export function parseHeaderValue(value: string): HeaderValueParts | undefined {
  const parts: HeaderValueParts = []
  let at = 0
  for (;;) {
    const start = value.indexOf(PREFIX, at)
    if (start < 0) break
    const end = value.indexOf('}', start)
    const found = end < 0 ? undefined : placeholderIn(value.slice(start + PREFIX.length, end))
    if (!found) return undefined
    if (start > at) parts.push(value.slice(at, start))
    parts.push(found)
    at = end + 1
  }
  if (at < value.length) parts.push(value.slice(at))
  return parts
}

function placeholderIn(text: string): Placeholder | undefined {
  for (const [prefix, kind] of KINDS) {
    if (!text.startsWith(prefix)) continue
    const name = text.slice(prefix.length)
    if (name === '' || FORBIDDEN[kind].test(name)) return undefined
    return { kind, name: kind === 'secret' ? name.toLowerCase() : name }
  }
  return undefined
}
