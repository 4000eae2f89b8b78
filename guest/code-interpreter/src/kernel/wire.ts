import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'

/** https://jupyter-client.readthedocs.io/en/stable/messaging.html */
const PROTOCOL_VERSION = '5.3'
const DELIMITER = '<IDS|MSG>'

export interface Header {
  msg_id: string
  msg_type: string
}

/** A message of a kernel. `content` comes from the kernel and must be validated. */
export interface KernelMessage {
  header: Header
  parentId: string | undefined
  content: Record<string, unknown>
}

/** Signs and packs the messages of one session with one kernel. */
export class Wire {
  readonly #key: string
  readonly #session = randomUUID()

  /** @param key shared secret of the connection file */
  constructor(key: string) {
    this.#key = key
  }

  /** @returns the frames for a shell or control socket, and the id by which answers name this request */
  request(type: string, content: Record<string, unknown>): { id: string; frames: (string | Buffer)[] } {
    const id = randomUUID()
    const header = {
      msg_id: id,
      msg_type: type,
      username: 'user',
      session: this.#session,
      date: new Date().toISOString(),
      version: PROTOCOL_VERSION,
    }
    const parts = [header, {}, {}, content].map((part) => Buffer.from(JSON.stringify(part)))
    return { id, frames: [DELIMITER, this.#sign(parts), ...parts] }
  }

  /** @returns undefined for frames that are not a message, or not signed with this connection's key */
  read(frames: Buffer[]): KernelMessage | undefined {
    const start = frames.findIndex((frame) => frame.equals(delimiterBytes)) + 1
    const parts = frames.slice(start + 1, start + 5)
    const signature = frames[start]
    if (start === 0 || !signature || parts.length < 4) return undefined
    const expected = Buffer.from(this.#sign(parts))
    if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) return undefined
    try {
      const [header, parent, , content] = parts.map((part) => JSON.parse(part.toString()))
      return { header, parentId: parent.msg_id, content }
    } catch {
      return undefined
    }
  }

  #sign(parts: Buffer[]): string {
    const hmac = createHmac('sha256', this.#key)
    for (const part of parts) hmac.update(part)
    return hmac.digest('hex')
  }
}

const delimiterBytes = Buffer.from(DELIMITER)
