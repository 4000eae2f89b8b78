import type { BodyHandler, BodyReader } from './body.ts'
import { ChunkedReader } from './chunked-reader.ts'
import type { Framing } from './head.ts'

export function readBody(framing: Framing, handler: BodyHandler): BodyReader {
  if (framing.kind === 'chunked') return new ChunkedReader(handler)
  const { kind } = framing
  return new PlainReader(
    kind === 'close' ? Number.POSITIVE_INFINITY : kind === 'length' ? framing.sizeBytes : 0,
    handler,
  )
}

class PlainReader implements BodyReader {
  readonly #handler: BodyHandler
  #missingBytes: number
  isEnded = false

  constructor(sizeBytes: number, handler: BodyHandler) {
    this.#missingBytes = sizeBytes
    this.#handler = handler
    if (sizeBytes === 0) this.#end()
  }

  push(chunk: Buffer): number {
    if (this.isEnded) return 0
    const taken = Math.min(this.#missingBytes, chunk.length)
    this.#missingBytes -= taken
    this.#handler.data(taken === chunk.length ? chunk : chunk.subarray(0, taken))
    if (this.#missingBytes === 0) this.#end()
    return taken
  }

  close(): boolean {
    if (!this.isEnded && this.#missingBytes === Number.POSITIVE_INFINITY) this.#end()
    return this.isEnded
  }

  #end(): void {
    this.isEnded = true
    this.#handler.end([])
  }
}
