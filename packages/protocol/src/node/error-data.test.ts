import { expect, test } from 'vitest'
import { BuildFailure } from '../build-failure.ts'
import { SandlotError } from '../errors.ts'
import { fromErrorData, toErrorData } from './error-data.ts'

const overTheWire = (error: unknown): Error => fromErrorData(JSON.parse(JSON.stringify(toErrorData(error))))

test('a SandlotError arrives with every field that callers use', () => {
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

test('the error of a failed build arrives with the step', () => {
  const arrived = overTheWire(new BuildFailure('2', 'it broke'))
  expect(arrived).toBeInstanceOf(BuildFailure)
  expect(arrived).toMatchObject({ step: '2', message: 'it broke' })
})

test.each([[new TypeError('x is not a function')], ['a string'], [undefined]])(
  '%s arrives without an error name, so that clients are not shown the message',
  (thrown) => {
    const arrived = overTheWire(thrown)
    expect(arrived).toBeInstanceOf(Error)
    expect(arrived).not.toBeInstanceOf(SandlotError)
  },
)

test('an unknown error name becomes a plain Error', () => {
  const arrived = fromErrorData({ errorName: 'of_a_newer_version' as never, message: 'new' })
  expect(arrived).not.toBeInstanceOf(SandlotError)
  expect(arrived.message).toBe('new')
})

test('a circle of causes is cut off', () => {
  const error = new Error('a')
  error.cause = error
  expect(overTheWire(error).message).toBe('a')
})
