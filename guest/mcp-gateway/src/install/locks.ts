import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Catalogue } from '../catalogue/entry.ts'

/**
 * Folder, below that of the locks, with `package.json` and `package-lock.json` of popular servers from npm. They are
 * installed together, which takes a third of the time and of the space, as most of their dependencies are alike.
 */
export const npmSet = (locks: string): string => join(locks, 'npm')

/** Returns the keys of the servers that the set consists of. */
export function keysOfNpmSet(catalogue: Catalogue, locks: string): string[] {
  const file = join(npmSet(locks), 'package.json')
  if (!existsSync(file)) return []
  const { dependencies } = JSON.parse(readFileSync(file, 'utf8')) as { dependencies: Record<string, string> }
  return Object.entries(catalogue).flatMap(([key, { run }]) =>
    run?.kind === 'npm' && dependencies[run.package] === run.version ? [key] : [],
  )
}

/** Returns the file with the hashes of a server from PyPI and of its dependencies, if there is one. */
export function pypiLock(key: string, locks: string): string | undefined {
  const file = join(locks, 'pypi', `${key}.lock`)
  return existsSync(file) ? file : undefined
}
