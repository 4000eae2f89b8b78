import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { run } from '@sandlot/node/host/run'
import { SandlotError } from '@sandlot/protocol'
import type { ClientPackage } from '@sandlot/server'
import type { Step } from '../progress.ts'
import { cachedFile } from './cached.ts'
import { contentHash } from './content-hash.ts'
import { findExecutable } from './go.ts'

const BUILD_TIMEOUT_MS = 5 * 60_000
const PACK_TIMEOUT_MS = 60_000
/** Part of the hash; must be changed when packing changes, so that older packages are stale. */
const RECIPE = 'npm run build, npm pack; 1\n'

interface Recipe {
  /** File name that clients request: `GET /npm/<file>`. */
  file: string
  folder: string
  /** Folders to build for this package, in order. */
  builtFrom: string[]
  /** Folders with sources of this package. */
  sources: string[]
}

const recipes: Recipe[] = [
  { file: 'e2b.tgz', folder: 'sdk', builtFrom: [], sources: ['sdk', 'protocol'] },
  { file: 'e2b-cli.tgz', folder: 'cli', builtFrom: ['sdk'], sources: ['cli', 'sdk', 'protocol'] },
  { file: 'sandlot-mcp.tgz', folder: 'mcp', builtFrom: [], sources: ['mcp', 'sdk', 'protocol'] },
]

/**
 * Builds and packs the SDK, the CLI and the MCP server that match this server, once for each content of their sources.
 * A package that cannot be built does not stop the set-up; the result says why it is missing.
 * @param root folder of the repository
 */
export async function ensureClientPackages(
  root: string,
  cache: string,
  step: Step,
): Promise<Record<string, ClientPackage>> {
  const packages: Record<string, ClientPackage> = {}
  for (const recipe of recipes) {
    packages[recipe.file] = await ensurePackage(recipe, root, cache, step).catch((error: Error) => ({
      missing: error.message,
    }))
  }
  return packages
}

async function ensurePackage(
  { file, folder, builtFrom, sources }: Recipe,
  root: string,
  cache: string,
  step: Step,
): Promise<ClientPackage> {
  const home = join(root, 'packages', folder)
  if (!(await hasBuild(home))) return { missing: `this clone has no packages/${folder} that can be built` }
  const files = ['package-lock.json']
  for (const source of sources) files.push(...(await sourcesOf(root, join(root, 'packages', source))))
  const hash = await contentHash(root, files, RECIPE)
  const path = join(cache, 'npm', `${folder}-${hash}`, file)
  await cachedFile(path, step, async (scratch) => {
    const npm = findExecutable('npm')
    if (!npm) throw new SandlotError('invalid_request', 'npm is not on PATH: install it and start again')
    for (const part of [...builtFrom, folder]) {
      step.update(`building packages/${part}`)
      await run(npm, ['run', 'build'], { timeoutMs: BUILD_TIMEOUT_MS, cwd: join(root, 'packages', part) })
    }
    step.update(`packing packages/${folder}`)
    await checkDependencies(root, home)
    const pack = ['pack', '--ignore-scripts', '--pack-destination', scratch]
    await run(npm, pack, { timeoutMs: PACK_TIMEOUT_MS, cwd: home })
    return join(scratch, (await readdir(scratch)).find((name) => name.endsWith('.tgz'))!)
  })
  return { path, hash }
}

interface PackageJson {
  name: string
  scripts?: Record<string, string>
  dependencies?: Record<string, string>
}

const readPackage = async (home: string): Promise<PackageJson> =>
  JSON.parse(await readFile(join(home, 'package.json'), 'utf8'))

const hasBuild = async (home: string): Promise<boolean> =>
  existsSync(join(home, 'package.json')) && (await readPackage(home)).scripts?.build !== undefined

/**
 * Refuses dependencies on packages of this repository. They must be bundled, because the registry does not have them, or
 * has another package of that name.
 */
async function checkDependencies(root: string, home: string): Promise<void> {
  const { name, dependencies = {} } = await readPackage(home)
  for (const folder of await readdir(join(root, 'packages'))) {
    const other = await readPackage(join(root, 'packages', folder)).catch(() => undefined)
    if (other && other.name in dependencies)
      throw new SandlotError(
        'conflict',
        `${name} depends on ${other.name}, which is a package of this repository: bundle it (devDependencies)`,
      )
  }
}

/** Source files of a package, without build output. */
async function sourcesOf(root: string, home: string): Promise<string[]> {
  const files: string[] = []
  for (const entry of await readdir(home, { withFileTypes: true }).catch(() => [])) {
    const path = join(home, entry.name)
    if (entry.isFile()) files.push(relative(root, path))
    if (!entry.isDirectory() || entry.name === 'node_modules' || entry.name === 'dist') continue
    const below = await readdir(path, { recursive: true, withFileTypes: true })
    for (const { name, parentPath } of below.filter((inner) => inner.isFile()))
      files.push(relative(root, join(parentPath, name)))
  }
  return files.filter((file) => !file.endsWith('.test.ts'))
}
