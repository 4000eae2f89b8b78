import { SandlotError } from '@sandlot/protocol'

const RETRY_AFTER_SECONDS = 2

/** SQLSTATE of errors that the repositories act on (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const DISK_FULL = '53100'
const SERIALIZATION_FAILURE = '40001'
const DEADLOCK_DETECTED = '40P01'
/** The database answers, but cannot execute this statement now. */
const BUSY = new Set([
  ...['53000', '53200', '53300', '53400'],
  // timeouts of a statement and of a lock
  ...['57014', '55P03'],
  ...[SERIALIZATION_FAILURE, DEADLOCK_DETECTED],
])
/** Connection exceptions, shutdown, crash of another backend, still starting, idle transaction ended. */
const LOST = /^(08|57P0[1-5]|25P03)/
const NETWORK = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOENT'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EADDRNOTAVAIL', 'ERR_STREAM_DESTROYED'],
])
/** Errors that `pg` reports without a code. */
const LOST_MESSAGES =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client was closed|Cannot use a pool after)/

const codeOf = (error: unknown): string => String((error as { code?: unknown } | undefined)?.code ?? '')

export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error)
  if (LOST.test(code) || NETWORK.has(code)) return true
  return error instanceof Error && LOST_MESSAGES.test(error.message)
}

/** Whether the transaction was aborted in favour of a concurrent one, and can be retried. */
export const isConflict = (error: unknown): boolean => {
  const code = codeOf(error instanceof SandlotError ? error.cause : error)
  return code === SERIALIZATION_FAILURE || code === DEADLOCK_DETECTED
}

/**
 * Maps errors that callers can retry or fix to a SandlotError, and passes other errors through.
 * @param wasSent whether the statement may have taken effect although its answer was lost
 */
export function postgresError(cause: unknown, { wasSent }: { wasSent: boolean }): unknown {
  if (cause instanceof SandlotError) return cause
  if (codeOf(cause) === DISK_FULL)
    return new SandlotError(
      'disk_full',
      'the disk of the database is full; free some space there and try again',
      { cause },
    )
  const options = { cause, retryAfterSeconds: RETRY_AFTER_SECONDS }
  if (isConnectionLoss(cause))
    return new SandlotError(
      'store_unavailable',
      wasSent
        ? 'the connection to the database broke: check whether the request had an effect, and try again if not'
        : 'the database does not answer; nothing was changed, try again in a moment',
      { ...options, mayHaveActed: wasSent },
    )
  if (BUSY.has(codeOf(cause)))
    return new SandlotError(
      'store_unavailable',
      'the database has too much to do; try again in a moment',
      options,
    )
  return cause
}
