import { createHash } from 'node:crypto'
import { cpSync, existsSync, globSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'tsdown'
import { repositoryRoot } from '../locked-packages.ts'

const home = join(repositoryRoot, 'guest', 'mcp-gateway')

/** Packages that the gateway installs by hash, and uv, which it installs those of PyPI with. */
const LOCKS = [
  ['guest/mcp-gateway/locks', 'locks'],
  ['guest/code-interpreter/python/installer.lock', 'uv.lock'],
] as const

/**
 * Bundles the gateway into one file, beside the locks that it reads, once for each content of its sources. Processes that do so at once
 * each write a folder of their own, of which the first stays; all are alike.
 * @returns path of the folder, relative to the repository
 */
export async function bundleGateway(): Promise<string> {
  const folder = join('guest', 'mcp-gateway', 'dist', contentHash())
  const target = join(repositoryRoot, folder)
  if (existsSync(target)) return folder
  const scratch = join(home, 'dist', `making-${process.pid}`)
  await build({ cwd: home, outDir: scratch, logLevel: 'error' })
  for (const [from, to] of LOCKS) cpSync(join(repositoryRoot, from), join(scratch, to), { recursive: true })
  try {
    renameSync(scratch, target)
  } catch (error) {
    if (!existsSync(target)) throw error
    rmSync(scratch, { recursive: true })
  }
  return folder
}

function contentHash(): string {
  const hash = createHash('sha256').update(readFileSync(join(repositoryRoot, 'package-lock.json')))
  const sources = globSync(['src/**/*.ts', 'catalogue/*.json', 'locks/**/*.{json,lock}', '*.ts'], {
    cwd: home,
  })
  hash.update(readFileSync(join(repositoryRoot, 'guest/code-interpreter/python/installer.lock')))
  for (const file of sources.filter((name) => !name.endsWith('.test.ts')).sort()) {
    hash.update(`\n${file}\n`).update(readFileSync(join(home, file)))
  }
  return hash.digest('hex').slice(0, 16)
}
