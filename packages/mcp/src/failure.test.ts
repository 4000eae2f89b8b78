import { expect, test } from 'vitest'
import { describeFailure } from './failure.ts'
import { SandboxNotFoundError } from './sdk.ts'

test('an error says what to do next', () => {
  expect(describeFailure(new SandboxNotFoundError('gone'))).toMatch(/^gone\nThe sandbox was killed/)
})

test('an error has no control characters, and at most 2,000 characters', () => {
  expect(describeFailure(new Error('a\x1b[31mb\x07\nc\x9b'))).toBe('ab\nc')
  expect(describeFailure(new Error('x'.repeat(5_000)))).toHaveLength(2_000)
})
