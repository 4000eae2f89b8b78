import type { RawHeaders } from '../http/message.ts'

export interface BodyHandler {
  /** Gets bytes of the body, in order. */
  data(bytes: Buffer): void
  /** Gets what stands between the bytes of a chunked body, in order with them. */
  frame(bytes: Buffer): void
  /** Called once, after everything else. A chunked body may have trailers. */
  end(trailers: RawHeaders): void
}

/** Finds the end of a body, and hands on its bytes where they lie. */
export interface BodyReader {
  readonly isEnded: boolean
  /** @returns how many bytes of the chunk belong to the body: fewer than all when it has ended. @throws MalformedError */
  push(chunk: Buffer): number
  /** The connection has ended. @returns whether the body is complete */
  close(): boolean
}
