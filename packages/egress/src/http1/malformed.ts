/** Bytes that are no message in HTTP/1.1. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'
  /** Of the answer that tells so to a client. */
  readonly status: number

  constructor(message: string, status = 400) {
    super(message)
    this.status = status
  }
}
