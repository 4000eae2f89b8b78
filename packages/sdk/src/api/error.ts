import { AuthenticationError, RateLimitError, SandboxError, ServiceBusyError } from '../errors.ts'

/** Answer of openapi-fetch, whose body is parsed JSON, or text when the body is not JSON. */
export interface ApiAnswer {
  response: Response
  error?: unknown
}

type ErrorClass = new (message: string, stackTrace?: string) => Error

/**
 * @returns the error for an answer outside 2xx; undefined for a 2xx answer
 *
 * @param OtherError class for statuses that have no error class of their own; the message is `<status>: <message>`
 * @param stackTrace stack for the error, which shows the caller's line instead of the SDK's
 */
export function apiErrorOf(
  { response, error }: ApiAnswer,
  OtherError: ErrorClass = SandboxError,
  stackTrace?: string,
): Error | undefined {
  if (response.ok) return undefined
  return errorOfStatus(response.status, messageOf(error), response.statusText, OtherError, stackTrace)
}

/** Makes an error from a status inside a body, such as the status of one of several forks. */
export function errorOfStatus(
  status: number,
  message: string | undefined,
  statusText = '',
  OtherError: ErrorClass = SandboxError,
  stackTrace?: string,
): Error {
  const withDetail = (text: string) => (message ? `${text} - ${message}` : text)
  if (status === 401)
    return new AuthenticationError(withDetail('Unauthorized, please check your credentials.'))
  if (status === 503) return new ServiceBusyError(withDetail('Service temporarily unavailable, please retry'))
  if (status === 429)
    return withStatus(new RateLimitError(withDetail('Rate limit exceeded, please try again later')), status)
  return withStatus(new OtherError(`${status}: ${message || statusText}`, stackTrace), status)
}

function withStatus(error: Error, status: number): Error {
  if (error instanceof SandboxError) error.statusCode = status
  return error
}

/** `message` of a JSON body `{code, message}`, or the text of a body of another kind. */
export function messageOf(body: unknown): string | undefined {
  if (typeof body === 'string') return body || undefined
  const message = (body as { message?: unknown } | undefined)?.message
  return typeof message === 'string' ? message : undefined
}
