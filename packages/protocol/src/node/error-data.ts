import { BuildFailure } from '../build-failure.ts'
import { type ErrorName, errorTable, SandlotError } from '../errors.ts'

/** Depth to which causes of causes are included. */
const MAX_DEPTH = 4

/** An error, or the reason why something was cancelled, in a form that survives a wire. */
export interface ErrorData {
  /** Absent: an unexpected error, whose message goes to the log and not to clients. */
  errorName?: ErrorName
  message: string
  retryAfterSeconds?: number
  mayHaveActed?: boolean
  /** Of a build that failed: `base`, `finalize`, or the number of the step from 1. */
  step?: string
  cause?: ErrorData
}

/** Turns whatever was thrown into data. */
export function toErrorData(error: unknown, depth = 0): ErrorData {
  if (!(error instanceof Error)) return { message: String(error) }
  const { message, cause } = error
  const data: ErrorData = { message }
  if (error instanceof SandlotError) {
    data.errorName = error.errorName
    data.mayHaveActed = error.mayHaveActed
    if (error.retryAfterSeconds !== undefined) data.retryAfterSeconds = error.retryAfterSeconds
    if (error instanceof BuildFailure) data.step = error.step
  }
  if (cause !== undefined && depth < MAX_DEPTH) data.cause = toErrorData(cause, depth + 1)
  return data
}

/** Restores the error that `toErrorData` described. An unknown error name becomes a plain `Error`. */
export function fromErrorData({
  errorName,
  message,
  retryAfterSeconds,
  mayHaveActed,
  step,
  cause: causeData,
}: ErrorData): Error {
  const cause = causeData && fromErrorData(causeData)
  if (errorName === undefined || !Object.hasOwn(errorTable, errorName)) return new Error(message, { cause })
  if (errorName === 'build_failed' && step !== undefined) return new BuildFailure(step, message, { cause })
  return new SandlotError(errorName, message, { cause, retryAfterSeconds, mayHaveActed })
}
