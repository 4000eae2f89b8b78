// `node templates/lock.ts` writes the lock files for everything that the base image and the catalogue install from npm
// and PyPI: every package, including dependencies, with version and hash. Run this after a change of a version, review
// the difference, and commit both. It needs npm and uv (`pip install uv`) on PATH.
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { npmLocks, pythonLock, repositoryRoot } from './locked-packages.ts'

const run = (file: string, args: string[], cwd: string) =>
  execFileSync(file, args, { cwd, stdio: ['ignore', 'inherit', 'inherit'], timeout: 10 * 60_000 })

for (const folder of npmLocks) {
  process.stdout.write(`${folder}\n`)
  // nests the dependencies of each package below it, like `npm install -g`
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error']
  const args = ['install', '--package-lock-only', '--install-strategy=shallow', '--ignore-scripts', ...quiet]
  run('npm', args, join(repositoryRoot, folder))
  dropMissing(join(repositoryRoot, folder, 'package-lock.json'))
}

// only wheels are accepted, because source packages would be built with packages that are not locked
const platform = ['--python-version', '3.11', '--python-platform', 'linux', '--only-binary', ':all:']
for (const [from, to] of pythonLock.files) {
  const written = ['--generate-hashes', '--no-annotate', '--no-header', '--quiet', '--output-file', to]
  process.stdout.write(`${pythonLock.folder}/${to}\n`)
  run('uv', ['pip', 'compile', ...platform, ...written, from], join(repositoryRoot, pythonLock.folder))
}

interface LockedPackage {
  optionalDependencies?: Record<string, string>
}

/**
 * Removes binaries for other systems that the registry does not have (any more): `npm install` omits them silently, but
 * `npm ci` refuses a lock file that lists them.
 */
function dropMissing(file: string): void {
  const lock = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, LockedPackage> }
  for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      if (isLocked(lock.packages, path, name)) continue
      process.stdout.write(`  without ${name}\n`)
      delete optionalDependencies[name]
    }
  }
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
}

/** Resolves like Node, which looks beside a package and in every folder above it. */
function isLocked(packages: Record<string, unknown>, from: string, name: string): boolean {
  for (let path = from; ; path = path.slice(0, path.lastIndexOf('/node_modules/'))) {
    if (`${path === '' ? '' : `${path}/`}node_modules/${name}` in packages) return true
    if (!path.includes('/node_modules/')) return `node_modules/${name}` in packages
  }
}
