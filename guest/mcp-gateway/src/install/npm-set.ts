import { cpSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Catalogue } from '../catalogue/entry.ts'
import { keysOfNpmSet, npmSet } from './locks.ts'
import { isInstalled, markInstalled, type Package, runNpm } from './package.ts'

/**
 * Installs the set of popular servers by their hashes, if all of them are wanted and one is missing.
 * @throws {Refusal} with the last words of npm
 */
export async function installNpmSet(
  wanted: string[],
  catalogue: Catalogue,
  { locks, installed }: { locks: string; installed: string },
): Promise<void> {
  const keys = keysOfNpmSet(catalogue, locks)
  const servers = keys.map((key) => [catalogue[key]!.run as Package, join(installed, key)] as const)
  if (servers.length === 0 || !keys.every((key) => wanted.includes(key))) return
  if (servers.every(([run, folder]) => isInstalled(run, folder))) return
  const common = join(installed, '.npm')
  rmSync(common, { recursive: true, force: true })
  mkdirSync(installed, { recursive: true })
  cpSync(npmSet(locks), common, { recursive: true })
  await runNpm(['ci'], common)
  for (const [run, folder] of servers) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder)
    symlinkSync('../.npm/node_modules', join(folder, 'node_modules'))
    markInstalled(run, folder)
  }
}
