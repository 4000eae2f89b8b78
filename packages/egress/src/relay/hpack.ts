import { MAX_HEADER_BYTES, type RawHeaders } from '../http/message.ts'
import { STATIC_TABLE } from './hpack-tables.ts'
import { decodeHuffman } from './huffman.ts'

/** Default of SETTINGS_HEADER_TABLE_SIZE; the proxy lets neither side use more. */
export const TABLE_BYTES = 4_096
/** What an entry counts beside its name and value (RFC 7541, 4.1). */
const ENTRY_OVERHEAD_BYTES = 32

/** A header block that cannot be decoded, or is too large: the connection cannot go on. */
export class HpackError extends Error {
  override readonly name = 'HpackError'
}

type Entry = readonly [name: string, value: string]

/** Decodes the header blocks of one direction of a connection (RFC 7541). All blocks must be decoded, in order. */
export class HpackDecoder {
  /** Newest first. */
  readonly #table: Entry[] = []
  #tableBytes = 0
  #maxTableBytes = TABLE_BYTES

  /**
   * Returns names and values in order, in Latin-1.
   * @throws HpackError
   */
  decode(block: Buffer): RawHeaders {
    const reader = new BlockReader(block)
    const headers: RawHeaders = []
    let listBytes = 0
    while (!reader.isAtEnd) {
      const first = reader.peek()
      if (first >= 0x20 && first < 0x40) {
        if (headers.length > 0) throw new HpackError('the size of the table changes amid a block')
        this.#resize(reader.integer(5))
        continue
      }
      const [name, value] = this.#field(reader, first)
      listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES
      if (listBytes > MAX_HEADER_BYTES)
        throw new HpackError(`the headers are larger than ${MAX_HEADER_BYTES} bytes`)
      headers.push(name, value)
    }
    return headers
  }

  #field(reader: BlockReader, first: number): Entry {
    if (first >= 0x80) return this.#entryAt(reader.integer(7))
    const isIndexed = first >= 0x40
    const index = reader.integer(isIndexed ? 6 : 4)
    const name = index === 0 ? reader.string() : this.#entryAt(index)[0]
    const field: Entry = [name, reader.string()]
    if (isIndexed) this.#add(field)
    return field
  }

  #entryAt(index: number): Entry {
    const entry =
      index <= STATIC_TABLE.length ? STATIC_TABLE[index - 1] : this.#table[index - STATIC_TABLE.length - 1]
    if (!entry) throw new HpackError(`the table has no entry ${index}`)
    return entry
  }

  #add(entry: Entry): void {
    this.#table.unshift(entry)
    this.#tableBytes += sizeOf(entry)
    this.#evict()
  }

  #resize(sizeBytes: number): void {
    if (sizeBytes > TABLE_BYTES) throw new HpackError(`a table of ${sizeBytes} bytes is too large`)
    this.#maxTableBytes = sizeBytes
    this.#evict()
  }

  #evict(): void {
    while (this.#tableBytes > this.#maxTableBytes) this.#tableBytes -= sizeOf(this.#table.pop()!)
  }
}

const sizeOf = ([name, value]: Entry): number => name.length + value.length + ENTRY_OVERHEAD_BYTES

class BlockReader {
  readonly #block: Buffer
  #at = 0

  constructor(block: Buffer) {
    this.#block = block
  }

  get isAtEnd(): boolean {
    return this.#at === this.#block.length
  }

  peek(): number {
    return this.#block[this.#at]!
  }

  /** Reads a number whose first byte has it in its lowest bits (RFC 7541, 5.1). */
  integer(bits: number): number {
    const mask = 2 ** bits - 1
    let value = this.#byte() & mask
    if (value < mask) return value
    for (let shift = 0; ; shift += 7) {
      // larger numbers are of no use
      if (shift > 21) throw new HpackError('a number is too large')
      const byte = this.#byte()
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }

  string(): string {
    const isHuffman = !this.isAtEnd && this.peek() >= 0x80
    const length = this.integer(7)
    const end = this.#at + length
    if (end > this.#block.length) throw new HpackError('a string ends beyond its block')
    const bytes = this.#block.subarray(this.#at, end)
    this.#at = end
    if (!isHuffman) return bytes.toString('latin1')
    const decoded = decodeHuffman(bytes)
    if (decoded === undefined) throw new HpackError('a string is not Huffman code')
    return decoded
  }

  #byte(): number {
    if (this.isAtEnd) throw new HpackError('the block ends too early')
    return this.#block[this.#at++]!
  }
}

/** Literal whose value no later hop may put into a table (RFC 7541, 6.2.3): values may be secrets. */
const NEVER_INDEXED = 0x10
const RESIZE_TABLE = 0x20

/**
 * Encodes headers as literals, which leave the decoder's table as it is.
 * @param headers lower-case names and values in Latin-1
 * @param tableBytes the block begins with a change of the table to this size; absent: no change
 */
export function encodeHeaders(headers: RawHeaders, tableBytes?: number): Buffer {
  const parts: Buffer[] = []
  if (tableBytes !== undefined) parts.push(integer(RESIZE_TABLE, 5, tableBytes))
  for (let i = 0; i < headers.length; i += 2)
    parts.push(Buffer.of(NEVER_INDEXED), ...string(headers[i]!), ...string(headers[i + 1]!))
  return Buffer.concat(parts)
}

const string = (text: string): [Buffer, Buffer] => [integer(0, 7, text.length), Buffer.from(text, 'latin1')]

function integer(first: number, bits: number, value: number): Buffer {
  const mask = 2 ** bits - 1
  if (value < mask) return Buffer.of(first | value)
  const bytes = [first | mask]
  let rest = value - mask
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Buffer.of(...bytes, rest)
}
