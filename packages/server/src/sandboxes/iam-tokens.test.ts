import { expect, test } from 'vitest'
import { iamTokensOf } from './iam-tokens.ts'

const token = { audience: 'https://a.example', tokenType: 'JWT-SVID' }
const many = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`t${index}`, token]))

test('tokens are kept without unknown fields; none are undefined', () => {
  expect(iamTokensOf({ tokens: { 'my cloud': { ...token, more: 1 } as never } })).toEqual({
    'my cloud': token,
  })
  expect(Object.keys(iamTokensOf({ tokens: many(5) })!)).toHaveLength(5)
  for (const none of [undefined, null, {}, { tokens: {} }]) expect(iamTokensOf(none)).toBeUndefined()
})

test.each([
  [many(6), 'iam.tokens: at most 5 tokens are allowed, but there are 6'],
  [{ a: { ...token, audience: '' } }, 'iam.tokens.a.audience: audience is required'],
  [{ a: { ...token, tokenType: '' } }, 'iam.tokens.a.tokenType: only "JWT-SVID" is supported'],
  [{ a: { ...token, tokenType: 'X509-SVID' } }, 'iam.tokens.a.tokenType: only "JWT-SVID" is supported'],
  [
    { a: { ...token, audience: 'x'.repeat(1025) } },
    'iam.tokens.a.audience: at most 1024 characters are allowed, but it has 1025',
  ],
  ...['', '{a', 'a}', 'a\u0007'].map((name): [Record<string, typeof token>, string] => [
    { [name]: token },
    `iam.tokens: the name ${JSON.stringify(name)} cannot be empty or contain '{', '}' or control characters`,
  ]),
])('%j: %s', (tokens, message) => {
  expect(() => iamTokensOf({ tokens })).toThrow(
    expect.objectContaining({ errorName: 'invalid_request', message }),
  )
})
