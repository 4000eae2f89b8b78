import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { repositoryRoot } from './config.ts'

interface LockedPackage {
  hasInstallScript?: boolean
  integrity?: string
  link?: boolean
  resolved?: string
}

const lock: { packages: Record<string, LockedPackage> } = JSON.parse(
  readFileSync(join(repositoryRoot, 'package-lock.json'), 'utf8'),
)
const require = createRequire(join(repositoryRoot, 'package.json'))

/**
 * `bootstrap.mjs` installs with `--ignore-scripts`. These packages have an install script but work without running it:
 * their files are in optional dependencies or in the package itself. Each package is tested below.
 */
const WORK_WITHOUT_SCRIPT: Record<string, () => unknown> = {
  '@bufbuild/buf': () =>
    execFileSync(join(repositoryRoot, 'node_modules/.bin/buf'), ['--version'], { encoding: 'utf8' }),
  '@swc/core': () =>
    require('@swc/core').transformSync('const x: number = 1', { jsc: { parser: { syntax: 'typescript' } } }),
  // used by packages/egress
  koffi: () => createRequire(join(repositoryRoot, 'packages/egress/package.json'))('koffi').version,
  zeromq: () => require('zeromq').version,
}

describe('packages with an install script', () => {
  const found = Object.entries(lock.packages)
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))

  test('are all known; a new package must be reviewed before it is listed here', () => {
    expect([...new Set(found)].sort()).toEqual(Object.keys(WORK_WITHOUT_SCRIPT))
  })

  test.each(Object.entries(WORK_WITHOUT_SCRIPT))('%s works without it', (_, use) => {
    expect(use()).toBeTruthy()
  })
})

test('bootstrap.mjs runs no install scripts', () => {
  const bootstrap = readFileSync(join(repositoryRoot, 'bootstrap.mjs'), 'utf8')
  expect(bootstrap.match(/\['ci'[^\]]*\]/g)).toEqual(["['ci', '--ignore-scripts', ...quiet]"])
})

test('every package in the lock file has a hash and comes from the registry', () => {
  const packages = Object.entries(lock.packages).filter(
    ([path, { link }]) => path.includes('node_modules/') && !link,
  )
  const unsure = packages.filter(
    ([, { integrity, resolved }]) =>
      !integrity?.startsWith('sha512-') || !/^(https:\/\/registry\.npmjs\.org\/|$)/.test(resolved ?? ''),
  )
  expect(unsure.map(([path]) => path)).toEqual([])
})
