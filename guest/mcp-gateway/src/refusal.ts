/** An error whose message is for the person who typed the command or wrote the configuration. */
export class Refusal extends Error {
  override name = 'Refusal'
}

/** Returns the message of whatever was thrown, on one line of at most 500 characters. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error)
  return message.replaceAll(/\s+/g, ' ').trim().slice(0, 500)
}
