/** The longest registered method has 17 characters (UPDATEREDIRECTREF). */
export const MAX_METHOD_BYTES = 20

const SPACE = 0x20
const DASH = 0x2d
const isMethodByte = (byte: number): boolean => (byte >= 0x41 && byte <= 0x5a) || byte === DASH

/**
 * Tells whether bytes begin like a request of HTTP/1 or HTTP/2: with a method in capitals and a space.
 * @returns undefined when more bytes are needed
 */
export function looksLikeHttp(bytes: Buffer): boolean | undefined {
  for (const [index, byte] of bytes.subarray(0, MAX_METHOD_BYTES + 1).entries()) {
    if (byte === SPACE) return index > 0
    if (!isMethodByte(byte)) return false
  }
  return bytes.length > MAX_METHOD_BYTES ? false : undefined
}
