import { describe, expect, it } from 'vitest'
import { describeFailure, exitCodeOf, Failure } from './failure.ts'

const named = (name: string, message: string): Error => Object.assign(new Error(message), { name })
const network = (fields: object): Error =>
  new TypeError('fetch failed', { cause: Object.assign(new Error('x'), fields) })

describe('describeFailure', () => {
  it.each<[string, unknown, string]>([
    ['a failure that users can fix unchanged', new Failure('Do this.'), 'Do this.'],
    [
      'an answer of the API with its status',
      named('SandboxError', '501: not yet'),
      '[501] Not Implemented: not yet',
    ],
    [
      'an error of envd without its code',
      named('InvalidArgumentError', "[invalid_argument] cwd '/x' does not exist"),
      "cwd '/x' does not exist",
    ],
    ['a text', 'text', 'text'],
    [
      'what a sandbox wrote without its control characters',
      new Failure('a\u001b]0;x\u0007b\rc\n\td'),
      'ab\ufffdc\n\td',
    ],
  ])('shows %s', (_, error, line) => {
    expect(describeFailure(error, {})).toBe(line)
  })

  it('says what is wrong with a key and what to do', () => {
    const error = named(
      'AuthenticationError',
      'Unauthorized, please check your credentials. - the key is unknown',
    )
    expect(describeFailure(error, {})).toBe(
      '[401] Unauthorized: the key is unknown. Check E2B_API_KEY, or run `e2b auth login`.',
    )
  })

  it('names the server that could not be reached, wherever the reason is nested', () => {
    const refused = network({ code: 'ECONNREFUSED', address: '127.0.0.1', port: 3000 })
    expect(describeFailure(refused, {})).toMatch(
      /^Cannot reach 127\.0\.0\.1:3000 \(ECONNREFUSED\): is the server running/,
    )
    const both = new TypeError('fetch failed', { cause: new AggregateError([refused.cause]) })
    expect(describeFailure(both, {})).toMatch(/^Cannot reach 127\.0\.0\.1:3000/)
    expect(describeFailure(network({ code: 'ENOTFOUND', hostname: 'api.x' }), {})).toMatch(
      /^Cannot reach api\.x/,
    )
    expect(describeFailure(network({ code: 'SELF_SIGNED_CERT_IN_CHAIN' }), {})).toMatch(/NODE_EXTRA_CA_CERTS/)
  })

  it('shows stacks and causes only with DEBUG', () => {
    const error = new Failure('Line.', { cause: new Error('reason') })
    expect(describeFailure(error, {})).toBe('Line.')
    expect(describeFailure(error, { DEBUG: '1' })).toMatch(
      /^Line\.\nFailure: Line\.\n {4}at [\s\S]*caused by: Error: reason/,
    )
  })
})

it('the exit code is 1 unless the failure has another one', () => {
  expect([exitCodeOf(new Error('x')), exitCodeOf(new Failure('x', { exitCode: 130 }))]).toEqual([1, 130])
})
