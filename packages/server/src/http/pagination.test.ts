import { expect, test } from 'vitest'
import { clampLimit, decodeCursor, pageOf, parseMetadataFilter } from './pagination.ts'

const items = Array.from({ length: 25 }, (_, i) => ({
  timeMs: Math.floor(i / 3) * 1000,
  id: `i${String(i).padStart(2, '0')}`,
}))

test.each([true, false])('pages cover every item once and in order (ascending: %s)', (isAscending) => {
  const seen: string[] = []
  let token: string | undefined
  do {
    const after = token ? decodeCursor(token) : undefined
    const { page, nextToken } = pageOf(items, (item) => item, { limit: 4, after, isAscending })
    seen.push(...page.map(({ id }) => id))
    token = nextToken
  } while (token)
  const all = items.map(({ id }) => id)
  expect(seen).toEqual(isAscending ? all : all.toReversed())
})

test('the last page has no token', () => {
  expect(pageOf(items, (item) => item, { limit: 25, isAscending: true }).nextToken).toBeUndefined()
})

test.each(['', 'nonsense', Buffer.from('2026-01-01__a__b').toString('base64url')])(
  'token %j is refused',
  (token) => {
    expect(() => decodeCursor(token)).toThrow('Invalid next token')
  },
)

test('limits are clamped to 1 … 100', () => {
  expect([undefined, -5, 0, 7, 1000].map(clampLimit)).toEqual([100, 1, 1, 7, 100])
})

test('metadata filters are decoded pair by pair', () => {
  expect(parseMetadataFilter('a=1&user%20id=x%3Dy%26z&empty=')).toEqual([
    ['a', '1'],
    ['user id', 'x=y&z'],
    ['empty', ''],
  ])
  expect(() => parseMetadataFilter('a=%zz')).toThrow('not percent-encoded')
})
