// `npm run lock -w guest/mcp-gateway` writes the locks of the servers below, and of all their dependencies: versions and
// hashes, by which `mcp-gateway pull` installs them. Run it after a change of a version, review the difference, and commit
// both. Needs npm and uv on PATH.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import { npmSet } from '../install/locks.ts'
import type { Package } from '../install/package.ts'
import type { Catalogue } from './entry.ts'

const NPM = ['brave', 'exa', 'filesystem', 'github', 'memory', 'notion', 'sequentialthinking']
const PYPI = ['duckduckgo', 'fetch', 'git', 'sqlite', 'time']

const locks = join(import.meta.dirname, '../../locks')
rmSync(locks, { recursive: true, force: true })
lockNpm(NPM.map(packageOf))
mkdirSync(join(locks, 'pypi'))
for (const key of PYPI) lockPypi(key, packageOf(key))

function packageOf(key: string): Package {
  const run = (catalogue as Catalogue)[key]?.run
  if (!run || run.kind === 'remote') throw new Error(`'${key}' has no package`)
  return run
}

function lockNpm(packages: Package[]): void {
  const folder = npmSet(locks)
  mkdirSync(folder, { recursive: true })
  const dependencies = Object.fromEntries(packages.map(({ package: name, version }) => [name, version]))
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify({ private: true, dependencies }, null, 2)}\n`)
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  run('npm', ['install', '--package-lock-only', '--omit=dev', '--ignore-scripts', ...quiet], folder)
}

function lockPypi(key: string, { package: name, version, resolvedBefore }: Package): void {
  const folder = join(locks, 'pypi')
  const wanted = join(folder, 'requirements.txt')
  writeFileSync(wanted, `${name}==${version}\n`)
  // only wheels are accepted, because source packages would be built with packages that are not locked
  const platform = ['--python-version', '3.11', '--python-platform', 'linux', '--only-binary', ':all:']
  const file = `${key}.lock`
  const written = ['--generate-hashes', '--no-annotate', '--no-header', '--quiet', '--output-file', file]
  const until = resolvedBefore === undefined ? [] : ['--exclude-newer', resolvedBefore]
  run('uv', ['pip', 'compile', ...platform, ...until, ...written, wanted], folder)
  rmSync(wanted)
}

function run(file: string, args: string[], cwd: string): void {
  execFileSync(file, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'], timeout: 5 * 60_000 })
}
