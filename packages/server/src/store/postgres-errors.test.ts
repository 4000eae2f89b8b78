import { SandlotError } from '@sandlot/protocol'
import { expect, test } from 'vitest'
import { isConflict } from './postgres-errors.ts'

test('an error of this server without a cause is not a conflict to retry', () => {
  expect(isConflict(new SandlotError('store_unavailable', 'the lease is not certain'))).toBe(false)
})
