import { rmSync } from 'node:fs'
import { join } from 'node:path'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import type { Catalogue } from '../catalogue/entry.ts'
import { entryOf } from '../config/parse-config.ts'
import { pypiLock } from '../install/locks.ts'
import { installNpmSet } from '../install/npm-set.ts'
import { installPackage } from '../install/package.ts'
import { mappedCommands } from '../install/prepare.ts'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'

/**
 * Installs servers ahead, so that sandboxes of a template start them at once. Remote ones and mapped ones need nothing.
 * @throws {Refusal} for an unknown server, and for one without a package
 */
export async function pull(names: string[], places: Places): Promise<string[]> {
  if (names.length === 0) throw new Refusal('name the servers to install: mcp-gateway pull exa filesystem')
  const mapped = mappedCommands(places)
  const entries = names.map((name) => [name, entryOf(name, catalogue as Catalogue)] as const)
  for (const [name, { run, image }] of entries) {
    if (!run && !mapped[name]) {
      throw new Refusal(
        `'${name}' exists only as the container image ${image}; name a program for it first: mcp-gateway map ${name} -- <command>`,
      )
    }
  }
  const { installed } = places
  const notMapped = names.filter((name) => !mapped[name])
  await installNpmSet(notMapped, catalogue as Catalogue, places)
  const cache = join(installed, '.uv-cache')
  const lines: string[] = []
  for (const [name, { run }] of entries) {
    if (mapped[name]) lines.push(`${name}: runs ${mapped[name].join(' ')}`)
    else if (run?.kind === 'remote') lines.push(`${name}: is a remote server, ${run.url}`)
    else {
      const lock = pypiLock(name, places.locks)
      await installPackage(run!, { folder: join(installed, name), lock, installed, cache })
      lines.push(`${name}: ${run!.package} ${run!.version}`)
    }
  }
  rmSync(cache, { recursive: true, force: true })
  return lines
}
