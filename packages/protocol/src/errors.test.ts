import { describe, expect, test } from 'vitest'
import { afterActing, errorTable, SandlotError } from './errors.ts'

test('the body of an error holds the status again, as clients read it there, and a stable name, but never the cause', () => {
  const error = new SandlotError('sandbox_capacity_unavailable', 'no slot', {
    cause: new Error('inner'),
    retryAfterSeconds: 5,
  })
  expect(error.toBody()).toEqual({
    code: 503,
    message: 'no slot',
    error_code: 'sandbox_capacity_unavailable',
  })
  expect([error.status, error.retryAfterSeconds, error instanceof Error]).toEqual([503, 5, true])
})

test('Retry-After comes from the table, unless the code that throws sets another time', () => {
  expect(new SandlotError('server_draining', '').retryAfterSeconds).toBe(5)
  expect(new SandlotError('server_draining', '', { retryAfterSeconds: 60 }).retryAfterSeconds).toBe(60)
  expect(new SandlotError('quota_exceeded', '').retryAfterSeconds).toBeUndefined()
})

describe('the Should-Retry header', () => {
  /** Statuses that current clients retry for any method, unless the header is false. */
  const REPEATED = [429, 502, 503, 504]

  test('is false for every error that clients would retry and whose request may have had effects', () => {
    const told = Object.entries(errorTable)
      .filter(([, { status }]) => REPEATED.includes(status))
      .map(([name]) => [name, new SandlotError(name as 'rate_limited', '').shouldRetry])
    expect(Object.fromEntries(told)).toEqual({
      rate_limited: undefined,
      quota_exceeded: undefined,
      sandbox_unreachable: false,
      sandbox_capacity_unavailable: undefined,
      sandbox_guest_unresponsive: undefined,
      idempotency_unavailable: undefined,
      firewall_unavailable: undefined,
      server_draining: undefined,
      operation_timeout: false,
      checkpoint_store_unavailable: undefined,
    })
  })

  test('can be set by the code that throws', () => {
    expect(new SandlotError('operation_timeout', 'it waited', { mayHaveActed: false }).shouldRetry).toBe(
      undefined,
    )
    const late = afterActing(new SandlotError('server_draining', 'bye', { retryAfterSeconds: 5 }))
    expect(late).toMatchObject({ errorName: 'server_draining', shouldRetry: false, retryAfterSeconds: 5 })
    const other = new Error('not ours')
    expect(afterActing(other)).toBe(other)
  })

  test('is true for a create that failed without leaving anything behind', () => {
    expect(new SandlotError('sandbox_create_failed', 'it died').shouldRetry).toBe(true)
  })
})
