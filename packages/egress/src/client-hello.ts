import { hostName } from './names.ts'

/** Post-quantum hellos with several key shares are 3 to 4 KiB long. */
export const MAX_HELLO_BYTES = 16_384

export type ClientHelloResult =
  /** At least so many bytes are needed in all. */
  | { kind: 'incomplete'; neededBytes: number }
  | { kind: 'not_tls' }
  | {
      kind: 'hello'
      /** Absent without SNI, and when the SNI is no host name. */
      name?: string
      /** There is an Encrypted ClientHello, real or GREASE: `name` may be that of a server that stands in front. */
      hasEch: boolean
    }

const RECORD_HANDSHAKE = 22
const MESSAGE_CLIENT_HELLO = 1
const EXTENSION_SERVER_NAME = 0
const EXTENSION_ECH = 0xfe0d
const NAME_TYPE_HOST = 0
const RECORD_HEADER_BYTES = 5
const MAX_RECORD_BYTES = 16_384
/** Clients that split their hello to hide its name use a handful. */
const MAX_RECORDS = 64

const NOT_TLS: ClientHelloResult = { kind: 'not_tls' }

/**
 * Reads the first message of a TLS client (RFC 8446, 4.1.2). The message may span records.
 * @param bytes what the client has sent until now
 */
export function readClientHello(bytes: Buffer): ClientHelloResult {
  const fragments: Buffer[] = []
  let collected = 0
  let needed = 4
  for (let at = 0; collected < needed; ) {
    const length = readRecordLength(bytes.subarray(at))
    if (length === 'not_tls') return NOT_TLS
    at += RECORD_HEADER_BYTES
    if (length === 'incomplete') return { kind: 'incomplete', neededBytes: at }
    const fragment = bytes.subarray(at, at + length)
    at += length
    fragments.push(fragment)
    if (fragments.length > MAX_RECORDS) return NOT_TLS
    if (fragments[0]!.length > 0 && fragments[0]![0] !== MESSAGE_CLIENT_HELLO) return NOT_TLS
    collected += fragment.length
    if (collected >= 4 && needed === 4) needed += Buffer.concat(fragments).readUIntBE(1, 3)
    if (needed > MAX_HELLO_BYTES) return NOT_TLS
    const missing = Math.min(needed - collected, length - fragment.length)
    if (missing > 0) return { kind: 'incomplete', neededBytes: bytes.length + missing }
  }
  return readMessage(Buffer.concat(fragments).subarray(4, needed))
}

function readRecordLength(bytes: Buffer): number | 'incomplete' | 'not_tls' {
  if (bytes.length > 0 && bytes[0] !== RECORD_HANDSHAKE) return 'not_tls'
  if (bytes.length > 1 && bytes[1] !== 3) return 'not_tls'
  if (bytes.length < RECORD_HEADER_BYTES) return 'incomplete'
  const length = bytes.readUInt16BE(3)
  // an empty record is forbidden, and would let a client send records for ever
  return length === 0 || length > MAX_RECORD_BYTES ? 'not_tls' : length
}

function readMessage(body: Buffer): ClientHelloResult {
  try {
    const reader = new Reader(body)
    reader.skip(2 + 32)
    reader.block(1)
    if (reader.block(2).length % 2 !== 0) return NOT_TLS
    reader.block(1)
    if (reader.isAtEnd) return { kind: 'hello', hasEch: false }
    const extensions = new Reader(reader.block(2))
    return reader.isAtEnd ? readExtensions(extensions) : NOT_TLS
  } catch (error) {
    if (error instanceof RangeError) return NOT_TLS
    throw error
  }
}

function readExtensions(extensions: Reader): ClientHelloResult {
  let name: string | undefined
  let hasEch = false
  const seen = new Set<number>()
  while (!extensions.isAtEnd) {
    const type = extensions.number(2)
    const content = extensions.block(2)
    // servers differ in which of two they use, so a second one could carry another name past the policy
    if (seen.has(type)) return NOT_TLS
    seen.add(type)
    if (type === EXTENSION_ECH) hasEch = true
    if (type === EXTENSION_SERVER_NAME) name = readServerName(content)
  }
  return { kind: 'hello', hasEch, ...(name !== undefined && { name }) }
}

/** Throws a RangeError when the list has not exactly one entry: RFC 6066 allows one of each type, and only one type exists. */
function readServerName(content: Buffer): string | undefined {
  const outer = new Reader(content)
  const list = new Reader(outer.block(2))
  const type = list.number(1)
  const name = list.block(2)
  if (!outer.isAtEnd || !list.isAtEnd || type !== NAME_TYPE_HOST) throw new RangeError('not one server name')
  return hostName(name.toString('latin1'))
}

/** Reads big-endian numbers and blocks with a length in front; beyond the end it throws a RangeError. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  skip(length: number): Buffer {
    const end = this.#at + length
    if (end > this.#bytes.length) throw new RangeError('beyond the end')
    const skipped = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return skipped
  }

  number(size: 1 | 2): number {
    return this.skip(size).readUIntBE(0, size)
  }

  block(lengthSize: 1 | 2): Buffer {
    return this.skip(this.number(lengthSize))
  }
}
