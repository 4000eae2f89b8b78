const MAX_NAME_LENGTH = 253
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
/** The last label of what URL parsers read as an IPv4 address: `10`, `0x7f`. */
const NUMERIC_LABEL = /^(?:\d+|0x[0-9a-f]*)$/

/**
 * Brings a host name into the form in which policies compare names: lower-case, without the trailing dot.
 * @returns undefined for what is no name in ASCII, such as an IP address in any notation, or a name that is too long
 */
export function hostName(text: string): string | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase()
  if (name === '' || name.length > MAX_NAME_LENGTH) return undefined
  const labels = name.split('.')
  if (!labels.every((label) => LABEL.test(label))) return undefined
  return NUMERIC_LABEL.test(labels[labels.length - 1]!) ? undefined : name
}

/** A set of names and wildcards that is searched by the labels of a name, whatever its size. */
export class NamePatterns<Value> {
  readonly #exact = new Map<string, Value>()
  /** By the name below which a wildcard holds. */
  readonly #below = new Map<string, Value>()
  #any: Value | undefined

  /** @param entries patterns `name`, `*.name` or `*`, ignoring case and a trailing dot */
  constructor(entries: Iterable<readonly [pattern: string, value: Value]>) {
    for (const [text, value] of entries) {
      const pattern = text.toLowerCase().replace(/\.$/, '')
      if (pattern === '*') this.#any = value
      else if (pattern.startsWith('*.')) this.#below.set(pattern.slice(2), value)
      else this.#exact.set(pattern, value)
    }
  }

  /** Returns the value of the exact name, else of the longest wildcard, else of `*`. */
  find(name: string): Value | undefined {
    const exact = this.#exact.get(name)
    if (exact !== undefined) return exact
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const value = this.#below.get(name.slice(dot + 1))
      if (value !== undefined) return value
    }
    return this.#any
  }
}
