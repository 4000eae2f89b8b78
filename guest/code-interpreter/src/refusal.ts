/** A request that cannot be done, with what would be right. Clients show the message as it is. */
export class Refusal extends Error {
  readonly status: number

  /** @param status HTTP status of the answer. 404 becomes a NotFound error in the SDKs. */
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}
