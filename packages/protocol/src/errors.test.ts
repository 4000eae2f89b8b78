import { describe, expect, test } from 'vitest'
import { afterActing, errorTable, SandlotError } from './errors.ts'

test('an error is its body: the status twice for clients that test it there, a stable name, never the cause', () => {
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

test('the table says when to come back; a thrower that knows better says so itself', () => {
  expect(new SandlotError('server_draining', '').retryAfterSeconds).toBe(5)
  expect(new SandlotError('server_draining', '', { retryAfterSeconds: 60 }).retryAfterSeconds).toBe(60)
  expect(new SandlotError('quota_exceeded', '').retryAfterSeconds).toBeUndefined()
})

describe('whether a request may be repeated', () => {
  /** Clients of today repeat these whatever the method, unless a header says no. */
  const REPEATED = [429, 502, 503, 504]

  test('is said for every error that clients repeat by themselves and that comes after something was done', () => {
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

  test('depends on who throws, too', () => {
    expect(new SandlotError('operation_timeout', 'it waited', { mayHaveActed: false }).shouldRetry).toBe(
      undefined,
    )
    const late = afterActing(new SandlotError('server_draining', 'bye', { retryAfterSeconds: 5 }))
    expect(late).toMatchObject({ errorName: 'server_draining', shouldRetry: false, retryAfterSeconds: 5 })
    const other = new Error('not ours')
    expect(afterActing(other)).toBe(other)
  })

  test('a create that left nothing behind is worth another try', () => {
    expect(new SandlotError('sandbox_create_failed', 'it died').shouldRetry).toBe(true)
  })
})
