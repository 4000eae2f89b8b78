import { SandlotError } from '@sandlot/protocol'

const PERCENT = 0x25
const PLUS = 0x2b
const BLANK = 0x20

/**
 * Reads the bytes of the parameter `path` in a URL: a name of a file need not be UTF-8, which the parsed query would
 * replace.
 * @throws SandlotError invalid_request
 */
export function pathIn(url: string): Buffer {
  const query = url.slice(url.indexOf('?') + 1)
  const parameter = query.split('&').find((part) => part.startsWith('path='))
  if (parameter === undefined) throw new SandlotError('invalid_request', 'path is missing in the query')
  return decoded(parameter.slice('path='.length))
}

function decoded(text: string): Buffer {
  const encoded = Buffer.from(text)
  const bytes: number[] = []
  for (let index = 0; index < encoded.length; index += 1) {
    const byte = encoded[index]!
    if (byte !== PERCENT) {
      bytes.push(byte === PLUS ? BLANK : byte)
      continue
    }
    const hex = encoded.toString('latin1', index + 1, index + 3)
    if (!/^[0-9a-f]{2}$/i.test(hex))
      throw new SandlotError('invalid_request', 'path is not percent-encoded correctly')
    bytes.push(Number.parseInt(hex, 16))
    index += 2
  }
  return Buffer.from(bytes)
}
