import { type IncomingMessage, ServerResponse } from 'node:http'

const MEBIBYTE = 1024 * 1024
/** Output of a command, which tools read piece by piece. */
const MAX_STREAM_BYTES = 32 * MEBIBYTE
/** One message of such a stream, which is read as a whole; envd's have at most 87 KiB. */
const MAX_MESSAGE_BYTES = MEBIBYTE
/** Files, and lines of the code interpreter. */
const MAX_CONTENT_BYTES = 16 * MEBIBYTE
/** Answers that are read as a whole. */
const MAX_ANSWER_BYTES = 4 * MEBIBYTE
/** Envelope of a message of the Connect protocol: flags, and the length in four bytes. */
const ENVELOPE_BYTES = 5

/**
 * An answer to the MCP tools in the server, which sandboxes write. It breaks off when it is larger than the tools should keep in
 * memory, when it is compressed, because its size is then unknown, and when it is a redirect, because the server would follow it
 * into the host's network.
 */
export class BoundedResponse<
  Request extends IncomingMessage = IncomingMessage,
> extends ServerResponse<Request> {
  readonly #maxBytes: number
  readonly #messages: MessageLengths | undefined
  #sentBytes = 0

  constructor(request: Request, ...rest: unknown[]) {
    super(request, ...(rest as []))
    const isStream = request.headers['content-type']?.startsWith('application/connect+') ?? false
    const isContent = /^\/(files|execute)\b/.test(request.url ?? '')
    this.#messages = isStream ? new MessageLengths() : undefined
    this.#maxBytes = isStream ? MAX_STREAM_BYTES : isContent ? MAX_CONTENT_BYTES : MAX_ANSWER_BYTES
  }

  override writeHead(status: number, ...rest: unknown[]): this {
    super.writeHead(status, ...(rest as []))
    if (isRedirect(status) || isCompressed(this.getHeader('content-encoding'), rest.at(-1))) this.destroy()
    return this
  }

  override write(chunk: Uint8Array | string, encoding?: unknown, callback?: unknown): boolean {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    this.#sentBytes += bytes.length
    const longest = this.#messages?.add(bytes) ?? 0
    if (this.#sentBytes > this.#maxBytes || longest > MAX_MESSAGE_BYTES) {
      this.destroy()
      return false
    }
    return super.write(chunk, encoding as BufferEncoding, callback as () => void)
  }
}

/** Makes a request ask for an answer without compression, which envd would else compress. */
export function askUncompressed({ headers, rawHeaders }: IncomingMessage): void {
  headers['accept-encoding'] = 'identity'
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (/^accept-encoding$/i.test(rawHeaders[at]!)) rawHeaders[at + 1] = 'identity'
}

const isRedirect = (status: number): boolean => status >= 300 && status < 400 && status !== 304

/** @param given headers as `writeHead` takes them: a list of names and values, or an object */
function isCompressed(set: unknown, given: unknown): boolean {
  const list = Array.isArray(given) ? given : Object.entries(given ?? {}).flat()
  const named = list.filter((_, at) => at % 2 === 1 && /^content-encoding$/i.test(String(list[at - 1])))
  return [set ?? 'identity', ...named].some((coding) => String(coding).trim().toLowerCase() !== 'identity')
}

/** Reads how long the messages of a stream are, from their envelopes. */
export class MessageLengths {
  readonly #envelope = Buffer.alloc(ENVELOPE_BYTES)
  #filled = 0
  #left = 0

  /** @returns length in bytes of the longest message that begins in this piece of the stream */
  add(bytes: Uint8Array): number {
    let longest = 0
    for (let at = 0; at < bytes.length; ) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, bytes.length - at)
        this.#left -= skipped
        at += skipped
        continue
      }
      this.#envelope[this.#filled++] = bytes[at++]!
      if (this.#filled < ENVELOPE_BYTES) continue
      this.#filled = 0
      this.#left = this.#envelope.readUInt32BE(1)
      longest = Math.max(longest, this.#left)
    }
    return longest
  }
}
