import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '..')
const { forbidden } = createRequire(import.meta.url)('../.dependency-cruiser.cjs') as {
  forbidden: Array<{ name: string; from: { path?: string } }>
}

const foldersOf = (path: string): string[] =>
  readdirSync(join(root, path), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()

/** Folders directly below `path` that a rule says something of. */
const ruled = (path: string): string[] =>
  forbidden
    .flatMap(({ from }) => new RegExp(`^\\^${path}/([a-z-]+)/$`).exec(from.path ?? '')?.[1] ?? [])
    .sort()

test.each(['packages', 'packages/node/src'])(
  'each folder of %s has a rule of imports, and no other',
  (path) => {
    expect([...new Set(ruled(path))]).toEqual(foldersOf(path))
  },
)

test('packages list their doors one by one', () => {
  for (const name of foldersOf('packages')) {
    const { exports } = createRequire(import.meta.url)(`../packages/${name}/package.json`) as {
      exports?: object
    }
    expect([name, JSON.stringify(exports ?? {})]).toEqual([name, expect.not.stringContaining('*')])
  }
})
