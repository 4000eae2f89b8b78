import { validateHeaderName, validateHeaderValue } from 'node:http'

/** Headers for the next hop only (RFC 9110, 7.6.1), which a proxy sets itself. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Headers that framing or routing depends on are allowed in the head only (RFC 9110, 6.5.1). */
export const HEAD_ONLY: ReadonlySet<string> = new Set(['content-length', 'host', 'trailer'])

/**
 * Keeps the trailers that both versions of HTTP can carry and drops the others. Node throws for the others, and nothing
 * catches that error after the end of a body: one `connection` trailer of a sandbox or a server would end the whole process.
 * @param raw names and values by turns
 */
export function passableTrailers(raw: readonly string[]): string[] {
  const passable: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const [name, value] = [raw[i]!, raw[i + 1]!]
    if (isPassable(name, value)) passable.push(name, value)
  }
  return passable
}

function isPassable(name: string, value: string): boolean {
  const lower = name.toLowerCase()
  if (HOP_BY_HOP.has(lower) || HEAD_ONLY.has(lower)) return false
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}
