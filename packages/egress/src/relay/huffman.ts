import { HUFFMAN_LENGTHS } from './hpack-tables.ts'

const END_OF_STRING = 256
const MAX_LENGTH = 30

/** The codes of one length are consecutive numbers, in the order of their symbols. */
const symbols: number[] = []
const firstCode = new Uint32Array(MAX_LENGTH + 1)
const firstSymbol = new Uint16Array(MAX_LENGTH + 1)
const codeCount = new Uint16Array(MAX_LENGTH + 1)

for (let length = 1, code = 0; length <= MAX_LENGTH; length++) {
  code *= 2
  firstCode[length] = code
  firstSymbol[length] = symbols.length
  for (const [symbol, itsLength] of HUFFMAN_LENGTHS.entries()) if (itsLength === length) symbols.push(symbol)
  codeCount[length] = symbols.length - firstSymbol[length]!
  code += codeCount[length]!
}

/**
 * Decodes a string of RFC 7541, 5.2.
 * @returns undefined when the bytes are no such string
 */
export function decodeHuffman(bytes: Buffer): string | undefined {
  // the shortest code has five bits
  const decoded = Buffer.allocUnsafe(Math.ceil((bytes.length * 8) / 5))
  let size = 0
  let code = 0
  let length = 0
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1)
      length++
      const nth = code - firstCode[length]!
      if (nth >= 0 && nth < codeCount[length]!) {
        const symbol = symbols[firstSymbol[length]! + nth]!
        if (symbol === END_OF_STRING) return undefined
        decoded[size++] = symbol
        code = 0
        length = 0
      } else if (length === MAX_LENGTH) return undefined
    }
  }
  // padding is the beginning of the end of a string: ones, and less than a byte
  if (length > 7 || code !== 2 ** length - 1) return undefined
  return decoded.toString('latin1', 0, size)
}
