import { InvalidArgumentError } from '../errors.ts'

/**
 * Returns the headers that carry a file's metadata (wire spec, section 4.3).
 *
 * @throws {@link InvalidArgumentError} for a key that is not an HTTP token, or a value that is not printable ASCII
 */
export function metadataHeaders(metadata: Record<string, string> = {}): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [key, value] of Object.entries(metadata)) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(key))
      throw new InvalidArgumentError(
        `Invalid metadata key ${JSON.stringify(key)}: keys must be non-empty and use only HTTP token characters (letters, digits and !#$%&'*+-.^_\`|~).`,
      )
    if (!/^[\x20-\x7e]*$/.test(value))
      throw new InvalidArgumentError(
        `Invalid metadata value for key ${JSON.stringify(key)}: values must be printable US-ASCII.`,
      )
    headers[`X-Metadata-${key}`] = value
  }
  return headers
}
