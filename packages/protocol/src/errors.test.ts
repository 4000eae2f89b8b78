import { expect, test } from 'vitest'
import { SandlotError } from './errors.ts'

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
