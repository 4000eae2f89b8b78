import { validateHeaderName, validateHeaderValue } from 'node:http'
import { HOP_BY_HOP } from './headers.ts'
import type { RawHeaders } from './message.ts'

/** Headers that framing or routing depends on are allowed in the head only (RFC 9110, 6.5.1). */
const HEAD_ONLY = new Set(['content-length', 'host', 'trailer'])

/**
 * Keeps the trailers that both versions of HTTP can carry and drops the others. Node throws for the others, and nothing
 * catches that error after the end of a body: one `connection` trailer of a sandbox would end the whole server.
 */
export function passableTrailers(raw: RawHeaders): RawHeaders {
  const passable: RawHeaders = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
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
