import Type from 'typebox'

/** The value is validated where the key is used, because validation here sees only the first of two such headers. */
export const IdempotencyHeaders = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      description:
        '1 to 255 of a-z, 0-9 and -. Within 24 hours, a repeated request with the same key is not done again and gets the first response',
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
