/** What a client sends first (RFC 9113, 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export const FRAME_HEADER_BYTES = 9
/** Peers accept at least so much in a frame. */
export const MIN_MAX_FRAME_BYTES = 16_384

export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const

export const Flag = { ACK: 1, END_STREAM: 1, END_HEADERS: 4, PADDED: 8, PRIORITY: 32 } as const

export const ErrorCode = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  ENHANCE_YOUR_CALM: 11,
} as const

/** The other side breaks the protocol or a limit: the connection cannot go on. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  readonly code: number

  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

export interface Frame {
  type: number
  flags: number
  stream: number
  /** Of the payload, in bytes. */
  length: number
  /** Bytes of the payload of DATA that are no data. */
  padding: number
}

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(stream, 5)
  payload.copy(bytes, FRAME_HEADER_BYTES)
  return bytes
}

export const SETTINGS_ACK = frame(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(0))

/** A header block, in as many frames as it needs. */
export function headersFrames(stream: number, block: Buffer, isEnd: boolean): Buffer {
  const frames: Buffer[] = []
  let at = 0
  do {
    const part = block.subarray(at, at + MIN_MAX_FRAME_BYTES)
    const type = at === 0 ? FrameType.HEADERS : FrameType.CONTINUATION
    const end = at === 0 && isEnd ? Flag.END_STREAM : 0
    at += part.length
    frames.push(frame(type, at < block.length ? end : end | Flag.END_HEADERS, stream, part))
  } while (at < block.length)
  return frames.length === 1 ? frames[0]! : Buffer.concat(frames)
}

export const resetFrame = (stream: number, code: number): Buffer =>
  frame(FrameType.RST_STREAM, 0, stream, uint32(code))

export const windowUpdateFrame = (stream: number, sizeBytes: number): Buffer =>
  frame(FrameType.WINDOW_UPDATE, 0, stream, uint32(sizeBytes))

export const goawayFrame = (lastStream: number, code: number): Buffer =>
  frame(FrameType.GOAWAY, 0, 0, Buffer.concat([uint32(lastStream), uint32(code)]))

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

/** Returns a header block without padding and priority. @throws ConnectionError when the frame is too short for them */
export function blockOf({ flags }: Frame, payload: Buffer): Buffer {
  const isPadded = (flags & Flag.PADDED) !== 0
  const start = (isPadded ? 1 : 0) + ((flags & Flag.PRIORITY) !== 0 ? 5 : 0)
  const end = payload.length - (isPadded ? (payload[0] ?? 0) : 0)
  if (start > end) throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, 'a frame is shorter than its padding')
  return payload.subarray(start, end)
}
