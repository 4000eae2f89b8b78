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

test('metadata filters are read as the official clients encode them, and encoded once', () => {
  const wanted = [
    ['a', '1'],
    ['key with spaces & =', '100 % ä'],
    ['empty', ''],
  ]
  const twice = new URLSearchParams(wanted.map((pair) => pair.map(encodeURIComponent))).toString()
  expect(parseMetadataFilter(twice)).toEqual(wanted)
  const once = wanted.map((pair) => pair.map(encodeURIComponent).join('=')).join('&')
  expect(parseMetadataFilter(once)).toEqual(wanted)
})
