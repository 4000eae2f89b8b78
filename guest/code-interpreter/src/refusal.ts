/** A refused request, with a message that says what would be valid. Clients show the message unchanged. */
export class Refusal extends Error {
  readonly status: number

  /** @param status HTTP status of the answer. 404 becomes a NotFound error in the SDKs. */
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}
