import { expect, test } from 'vitest'
import { checkedMounts } from './mounts.ts'

const idOf = (name: string) => (name === 'data' ? { volumeId: 'vol1' } : undefined)
const refusal = (...paths: string[]): string => {
  try {
    checkedMounts(
      paths.map((path) => ({ name: 'data', path })),
      idOf,
    )
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

test('mounts get the ids of their volumes', () => {
  expect(checkedMounts([{ name: 'data', path: '/mnt//data/', readOnly: true }], idOf)).toEqual([
    { volumeId: 'vol1', name: 'data', path: '/mnt/data', isReadOnly: true },
  ])
  expect(checkedMounts([{ name: 'data', path: '/home/user/.ssh' }], idOf)).toMatchObject([
    { volumeId: 'vol1' },
  ])
})

test('every bad mount is named', () => {
  expect(() =>
    checkedMounts(
      [
        { name: 'none', path: '/a' },
        { name: 'data', path: '/b' },
        { name: 'data', path: 'c' },
      ],
      idOf,
    ),
  ).toThrow(
    "invalid mounts:\n\t- volume mount #0: volume 'none' not found\n\t- volume mount #2: path must be absolute",
  )
})

test.each([
  ['', 'path cannot be empty'],
  ['a', 'path must be absolute'],
  ['/a/../b', "path must not contain any '.' or '..' components"],
  ['/a/./b', "path must not contain any '.' or '..' components"],
  ['/', "path '/' is needed by the sandbox itself"],
  ['/proc', "path '/proc' is needed"],
  ['/sys/fs/cgroup', "path '/sys/fs/cgroup' is needed"],
  ['/run/sandlot/volumes', "path '/run/sandlot/volumes' is needed"],
])('a mount at %j is refused', (path, reason) => {
  expect(refusal(path)).toContain(`invalid mounts:\n\t- volume mount #0: ${reason}`)
})

test('two volumes at one path, and more than 16, are refused', () => {
  expect(refusal('/a', '/a/')).toContain("volume mount #1: path '/a/' is already used")
  expect(refusal(...Array.from({ length: 17 }, (_, index) => `/mnt/${index}`))).toContain('at most 16')
})
