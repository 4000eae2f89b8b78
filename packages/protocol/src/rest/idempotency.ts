import Type from 'typebox'

/** The value is checked where the key is used: of a header that comes twice only the first would be seen here. */
export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      description:
        '1 to 255 of a-z, 0-9 and -. Within 24 hours a request that is repeated with its key is done once and gets the first answer again',
    }),
  ),
})

/** Errors of every operation that takes an `Idempotency-Key`. */
export const IDEMPOTENCY_ERRORS = [
  'idempotency_request_mismatch',
  'idempotency_in_progress',
  'idempotency_outcome_unknown',
  'idempotency_unavailable',
] as const
