/**
 * Names of files are bytes. In paths a byte that is not UTF-8 is a character from U+DC80 to U+DCFF, as in those that the SDK
 * sends and returns.
 */
const ESCAPE = /([\udc80-\udcff])/u
const FIRST_ESCAPE = 0xdc00

/** Reads the name of a local file. */
export function nameOf(bytes: Buffer): string {
  const text = bytes.toString()
  if (Buffer.from(text).equals(bytes)) return text
  let name = ''
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((count) => isUtf8(bytes.subarray(at, at + count)))
    name += length ? bytes.toString('utf8', at, at + length) : String.fromCharCode(FIRST_ESCAPE + bytes[at]!)
    at += length ?? 1
  }
  return name
}

const isUtf8 = (bytes: Buffer): boolean => Buffer.from(bytes.toString()).equals(bytes)

/** A path as calls of `node:fs` take it: text, or bytes where it is not UTF-8. */
export const localPath = (path: string): string | Buffer =>
  ESCAPE.test(path)
    ? Buffer.concat(
        path
          .split(ESCAPE)
          .map((part) =>
            ESCAPE.test(part) ? Buffer.from([part.charCodeAt(0) - FIRST_ESCAPE]) : Buffer.from(part),
          ),
      )
    : path
