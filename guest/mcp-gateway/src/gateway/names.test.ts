import { expect, test } from 'vitest'
import { giveNames, prefixedName } from './names.ts'

const server = (name: string, ...items: string[]) => ({
  server: { name },
  items: items.map((item) => ({ name: item })),
})
const names = (...offered: Array<ReturnType<typeof server>>) => giveNames(offered).map(({ name }) => name)

test('only names that two servers have are prefixed', () => {
  expect(names(server('a', 'read', 'one'), server('b', 'read', 'two'))).toEqual([
    'a__read',
    'one',
    'b__read',
    'two',
  ])
})

test('a server that has a name twice is listed with it once', () => {
  expect(names(server('a', 'read', 'read'))).toEqual(['read'])
})

test('no two names are alike, even if a server imitates the prefix of another', () => {
  const all = names(server('a', 'read'), server('b', 'read'), server('c', 'a__read'))
  expect(new Set(all).size).toBe(all.length)
})

test('a prefix has only characters that names of tools may have', () => {
  expect(prefixedName('github/some.owner/repo', 'read')).toBe('some_owner_repo__read')
  expect(prefixedName('x'.repeat(200), 'read')).toHaveLength(128)
})
