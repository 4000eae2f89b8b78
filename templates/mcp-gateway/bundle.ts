import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'tsdown'
import { repositoryRoot } from '../locked-packages.ts'

const home = join(repositoryRoot, 'guest', 'mcp-gateway')

/**
 * Bundles the gateway into one file, once for each content of its sources. Processes that do so at once each write a file
 * of their own, of which the last stays; all are alike.
 * @returns path of the bundle, relative to `guest`
 */
export async function bundleGateway(): Promise<string> {
  const file = join('mcp-gateway', 'dist', contentHash(), 'mcp-gateway.mjs')
  const target = join(repositoryRoot, 'guest', file)
  if (existsSync(target)) return file
  const scratch = join(home, 'dist', `making-${process.pid}`)
  await build({ cwd: home, outDir: scratch, logLevel: 'error' })
  mkdirSync(join(target, '..'), { recursive: true })
  renameSync(join(scratch, 'mcp-gateway.mjs'), target)
  rmSync(scratch, { recursive: true })
  return file
}

function contentHash(): string {
  const hash = createHash('sha256').update(readFileSync(join(repositoryRoot, 'package-lock.json')))
  const sources = globSync(['src/**/*.ts', 'catalogue/*.json', '*.ts'], { cwd: home })
  for (const file of sources.filter((name) => !name.endsWith('.test.ts')).sort()) {
    hash.update(`\n${file}\n`).update(readFileSync(join(home, file)))
  }
  return hash.digest('hex').slice(0, 16)
}
