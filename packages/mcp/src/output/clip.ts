/** Text that was cut in its middle or at its end. */
export interface Clipped {
  text: string
  isCut: boolean
}

/** Keeps the beginning of a text, never half of a character. */
export function clipEnd(text: string, maxChars: number, marker = '[… cut …]'): Clipped {
  if (text.length <= maxChars) return { text, isCut: false }
  return { text: `${withoutHalf(text.slice(0, maxChars))}\n${marker}`, isCut: true }
}

/** Removes the first half of a surrogate pair at the end. */
function withoutHalf(text: string): string {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last < 0xdc00 ? text.slice(0, -1) : text
}

/** Returns how many bytes at the start of `bytes` form whole UTF-8 characters. */
export function wholeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return bytes.length
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return length > back ? bytes.length - back : bytes.length
  }
  return bytes.length
}
