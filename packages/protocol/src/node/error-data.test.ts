import { expect, test } from 'vitest'
import { BuildFailure } from '../build-failure.ts'
import { SandlotError } from '../errors.ts'
import { fromErrorData, toErrorData } from './error-data.ts'

const overTheWire = (error: unknown): Error => fromErrorData(JSON.parse(JSON.stringify(toErrorData(error))))

test('an error of ours comes back with everything that callers tell it by', () => {
  const cause = new Error('ENOSPC')
  const sent = new SandlotError('disk_full', 'no room', { cause, retryAfterSeconds: 5, mayHaveActed: true })
  const arrived = overTheWire(sent)
  expect(arrived).toBeInstanceOf(SandlotError)
  expect(arrived).toMatchObject({
    errorName: 'disk_full',
    status: 507,
    message: 'no room',
    retryAfterSeconds: 5,
    mayHaveActed: true,
    cause: { message: 'ENOSPC' },
  })
})

test('a build that failed comes back with its step', () => {
  const arrived = overTheWire(new BuildFailure('2', 'it broke'))
  expect(arrived).toBeInstanceOf(BuildFailure)
  expect(arrived).toMatchObject({ step: '2', message: 'it broke' })
})

test.each([[new TypeError('x is not a function')], ['a string'], [undefined]])(
  '%s is no error of ours, so that its message is shown to no client',
  (thrown) => {
    const arrived = overTheWire(thrown)
    expect(arrived).toBeInstanceOf(Error)
    expect(arrived).not.toBeInstanceOf(SandlotError)
  },
)

test('a name that this side does not know becomes a plain error', () => {
  const arrived = fromErrorData({ errorName: 'of_a_newer_version' as never, message: 'new' })
  expect(arrived).not.toBeInstanceOf(SandlotError)
  expect(arrived.message).toBe('new')
})

test('causes that go round in a circle end', () => {
  const error = new Error('a')
  error.cause = error
  expect(overTheWire(error).message).toBe('a')
})
