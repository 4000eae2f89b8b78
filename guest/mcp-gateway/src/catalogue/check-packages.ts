// `npm run catalogue:check -w guest/mcp-gateway -- <key>…` asks npm and PyPI, by their clients, whether the pinned
// versions of these servers exist; all servers if none is named. Needs npm and uv on PATH. Not part of `npm test`.
import { spawnSync } from 'node:child_process'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import type { Catalogue } from './entry.ts'

const keys = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(catalogue)
let missing = 0
for (const key of keys) {
  const run = (catalogue as Catalogue)[key]?.run
  if (!run || run.kind === 'remote') continue
  const [file, ...args] =
    run.kind === 'npm'
      ? ['npm', 'view', `${run.package}@${run.version}`, 'version']
      : ['uv', 'pip', 'install', '--dry-run', '--no-deps', '--python', '3', `${run.package}==${run.version}`]
  const { status, stdout, stderr } = spawnSync(file!, args, { encoding: 'utf8', timeout: 60_000 })
  const exists = status === 0 && (run.kind === 'pypi' || stdout.trim() !== '')
  process.stdout.write(
    `${exists ? 'found  ' : 'MISSING'} ${key}: ${run.kind} ${run.package} ${run.version}\n`,
  )
  if (exists) continue
  missing++
  process.stderr.write(stderr)
}
process.exitCode = missing > 0 ? 1 : 0
