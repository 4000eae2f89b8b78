/**
 * Cuts what a server writes into lines. Joins the pieces of a line once, when it ends; the SDK's buffer joins and
 * searches everything for each piece, so that a server which writes 16 MiB without an end of line busies it for 30 s.
 */
export class LineBuffer {
  readonly #maxBytes: number
  #pieces: Buffer[] = []
  #sizeBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /**
   * Returns the lines that end in this chunk.
   * @throws Error if a line is longer than the limit
   */
  add(chunk: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, end))
      lines.push(Buffer.concat(this.#pieces).toString())
      this.#pieces = []
      this.#sizeBytes = 0
      start = end + 1
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
    return lines
  }

  #keep(piece: Buffer): void {
    this.#sizeBytes += piece.length
    if (this.#sizeBytes > this.#maxBytes) throw new Error(`a message exceeded ${this.#maxBytes} bytes`)
    this.#pieces.push(piece)
  }
}
