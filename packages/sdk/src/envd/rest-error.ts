import { messageOf } from '../api/error.ts'
import {
  AuthenticationError,
  InvalidArgumentError,
  NotEnoughSpaceError,
  NotFoundError,
  RateLimitError,
  SandboxError,
  TimeoutError,
} from '../errors.ts'

export const SANDBOX_TIMEOUT_HINT =
  "This error is likely due to sandbox timeout. You can modify the sandbox timeout by passing 'timeoutMs' when starting the sandbox or calling '.setTimeout' on the sandbox with the desired timeout."

/**
 * Returns the SDK's error for an answer of envd's REST routes, or of the edge in front of envd (wire spec, section
 * 4.3).
 */
export async function restErrorOf(
  response: Response,
  Missing: new (message: string) => Error = NotFoundError,
): Promise<Error> {
  const text = await response.text()
  const message = messageOf(parsed(text)) ?? (text || response.statusText)
  switch (response.status) {
    case 400:
      return new InvalidArgumentError(message)
    case 401:
      return new AuthenticationError(message)
    case 404:
      return new Missing(message)
    case 429: {
      const error = new RateLimitError(`${message}: The requests are being rate limited.`)
      error.statusCode = 429
      return error
    }
    case 502:
      return new TimeoutError(`${message}: ${SANDBOX_TIMEOUT_HINT}`)
    case 507:
      return new NotEnoughSpaceError(message)
    default:
      return new SandboxError(`${response.status}: ${message}`)
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
