import { Code, ConnectError } from '@connectrpc/connect'
import {
  AuthenticationError,
  InvalidArgumentError,
  NotFoundError,
  RateLimitError,
  SandboxError,
  TimeoutError,
} from '../errors.ts'
import type { Envd } from './envd.ts'
import { SANDBOX_TIMEOUT_HINT } from './rest-error.ts'

const REQUEST_TIMEOUT_HINT =
  "This error is likely due to exceeding 'requestTimeoutMs'. You can pass the request timeout value as an option when making the request."
const STREAM_TIMEOUT_HINT =
  "This error is likely due to exceeding 'timeoutMs' — the total time a long running request (like command execution or directory watch) can be active. It can be modified by passing 'timeoutMs' when making the request. Use '0' to disable the timeout."

/** Converts an error of Connect to an error of the SDK (wire spec, section 4.4); returns other errors unchanged. */
export function rpcErrorOf(error: unknown, Missing: new (message: string) => Error = NotFoundError): unknown {
  if (!(error instanceof ConnectError)) return error
  switch (error.code) {
    case Code.InvalidArgument:
      if (isCutShort(error)) return new SandboxError(`${Code.Unknown}: ${error.message}`)
      return new InvalidArgumentError(error.message)
    case Code.Unauthenticated:
      return new AuthenticationError(error.message)
    case Code.NotFound:
      return new Missing(error.message)
    case Code.ResourceExhausted: {
      const limited = new RateLimitError(`${error.message}: Rate limit exceeded, please try again later.`)
      limited.statusCode = 429
      return limited
    }
    case Code.Unavailable:
      return new TimeoutError(`${error.message}: ${SANDBOX_TIMEOUT_HINT}`)
    case Code.Canceled:
      return new TimeoutError(`${error.message}: ${REQUEST_TIMEOUT_HINT}`)
    case Code.DeadlineExceeded:
      return new TimeoutError(`${error.message}: ${STREAM_TIMEOUT_HINT}`)
    default:
      return new SandboxError(`${error.code}: ${error.message}`)
  }
}

/**
 * Like {@link rpcErrorOf}, but checks the sandbox's health after a broken connection: killing a sandbox ends its
 * streams without a message, and only the health check tells a kill from a network failure.
 */
export async function rpcErrorAfterProbe(
  error: unknown,
  envd: Envd,
  Missing?: new (message: string) => Error,
): Promise<unknown> {
  if (isBrokenConnection(error) && (await envd.probeHealth()) === false)
    return new TimeoutError(
      `${error.message}: The sandbox was killed or reached its end of life while the request was in flight.`,
    )
  return rpcErrorOf(error, Missing)
}

/** Connect sets `cause` on errors that it did not receive from the server. */
const isBrokenConnection = (error: unknown): error is ConnectError =>
  error instanceof ConnectError &&
  ((error.code === Code.Unknown && error.cause !== undefined) || isCutShort(error))

/** Bun reports a broken connection as the end of the body, so that Connect reads an incomplete message (Bun 1.3.9). */
const isCutShort = (error: ConnectError): boolean =>
  error.code === Code.InvalidArgument && error.rawMessage === 'protocol error: incomplete envelope'
