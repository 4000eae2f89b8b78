/**
 * Names of files are bytes. A byte that is not UTF-8 stands in a path as a character from U+DC80 to U+DCFF, which no other
 * text has ("surrogate escapes", as in Python's `os.fsdecode`).
 */
const ESCAPE = /([\udc80-\udcff])/u
const FIRST_ESCAPE = 0xdc00

/** Encodes a path for a query, byte by byte. */
export const encodePath = (path: string): string =>
  path
    .split(ESCAPE)
    .map((part) =>
      ESCAPE.test(part)
        ? `%${(part.charCodeAt(0) - FIRST_ESCAPE).toString(16).toUpperCase()}`
        : encodeURIComponent(part),
    )
    .join('')

/** Decodes the Base64 of a path that is not UTF-8. */
export function decodePath(base64: string): string {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const length = lengthOf(bytes[at]!)
    try {
      text += decoder.decode(bytes.subarray(at, at + length))
      at += length
    } catch {
      text += String.fromCharCode(FIRST_ESCAPE + bytes[at]!)
      at += 1
    }
  }
  return text
}

/** Bytes of the character that begins with a byte (RFC 3629). */
function lengthOf(first: number): number {
  if (first < 0xc0) return 1
  if (first < 0xe0) return 2
  return first < 0xf0 ? 3 : 4
}
