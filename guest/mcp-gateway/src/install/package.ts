import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { rm, symlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { HowToRun } from '../catalogue/entry.ts'
import { Refusal } from '../refusal.ts'
import { runCommand } from '../run-command.ts'
import { uvCommand } from './uv.ts'

const TIMEOUT_MS = 5 * 60_000
/** Written last, with the package and version that the folder holds. */
const MARK = '.installed'

export type Package = Extract<HowToRun, { kind: 'npm' | 'pypi' }>

/** Command and leading arguments of an installed server. */
export interface Program {
  command: string
  arguments: string[]
}

/** Returns whether the folder holds exactly this package. */
export function isInstalled(run: Package, folder: string): boolean {
  const mark = join(folder, MARK)
  return existsSync(mark) && readFileSync(mark, 'utf8') === markOf(run)
}

/** Where and how a package is installed. */
export interface Installation {
  /** The server's folder below `installed`. */
  folder: string
  /** File with every dependency and its hash, for a package of PyPI. Default: dependencies are those that the registry has. */
  lock?: string
  /** Folder of all servers, which also has uv where the image has none. */
  installed: string
  /** Cache of uv that several installations share. With it Python's modules are compiled, which saves seconds at each start. Default: none. */
  cache?: string
  signal?: AbortSignal
}

/**
 * Installs a package with its dependencies into a folder of its own, unless it is there already.
 * @throws {Refusal} with the last words of npm or uv
 */
export async function installPackage(run: Package, installation: Installation): Promise<Program> {
  const { folder } = installation
  if (!isInstalled(run, folder)) {
    await rm(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const install = run.kind === 'npm' ? installFromNpm : installFromPypi
    await install(run, installation)
    markInstalled(run, folder)
  }
  return programOf(run, folder)
}

/** Says that the folder holds this package. */
export const markInstalled = (run: Package, folder: string): void =>
  writeFileSync(join(folder, MARK), markOf(run))

const markOf = ({ kind, package: name, version, resolvedBefore = '' }: Package) =>
  `${kind} ${name}@${version} ${resolvedBefore}\n`

/** Install scripts do not run: what a server needs is in its package, and a script would run as root. */
function installFromNpm(run: Package, { folder, signal }: Installation): Promise<void> {
  return runNpm(['install', `${run.package}@${run.version}`], folder, signal)
}

/** Runs npm in a folder, where it leaves nothing but `node_modules` and its two files. */
export function runNpm(words: string[], folder: string, signal?: AbortSignal): Promise<void> {
  const cache = join(folder, '.npm-cache')
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error']
  return runCommand(
    'npm',
    [...words, '--prefix', folder, '--ignore-scripts', '--omit=dev', '--cache', cache, ...quiet],
    { folder, environment: definedEnvironment(), timeoutMs: TIMEOUT_MS, signal },
  ).finally(() => rm(cache, { recursive: true, force: true }))
}

async function installFromPypi(run: Package, installation: Installation): Promise<void> {
  const { folder, lock, installed, cache, signal } = installation
  const environment = {
    ...definedEnvironment(),
    UV_TOOL_DIR: join(folder, 'tools'),
    UV_TOOL_BIN_DIR: join(folder, 'bin'),
    UV_PYTHON_INSTALL_DIR: join(folder, 'python'),
    ...(cache === undefined ? { UV_NO_CACHE: '1' } : { UV_CACHE_DIR: cache, UV_COMPILE_BYTECODE: '1' }),
  }
  const command = await uvCommand(installed, environment)
  const uv = (...words: string[]) =>
    runCommand(command, words, { folder, environment, timeoutMs: TIMEOUT_MS, signal })
  if (lock === undefined) {
    const until = run.resolvedBefore === undefined ? [] : ['--exclude-newer', run.resolvedBefore]
    return uv('tool', 'install', '--quiet', ...until, `${run.package}==${run.version}`)
  }
  const tools = join(folder, 'tools')
  const bin = join(folder, 'bin')
  await uv('venv', '--quiet', tools)
  const requirements = ['--require-hashes', '--requirement', lock]
  await uv('pip', 'install', '--quiet', '--python', tools, ...requirements)
  mkdirSync(bin)
  // the environment also has commands of dependencies
  const name = run.command ?? run.package
  await symlink(join(tools, 'bin', name), join(bin, name))
}

const definedEnvironment = () =>
  Object.fromEntries(Object.entries(process.env).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >

function programOf(run: Package, folder: string): Program {
  if (run.kind === 'pypi') {
    const bin = join(folder, 'bin')
    return {
      command: join(bin, pick(run, existsSync(bin) ? readdirSync(bin).sort() : [])),
      arguments: [],
    }
  }
  const packageFolder = join(folder, 'node_modules', run.package)
  const { bin = {} } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8')) as {
    bin?: string | Record<string, string>
  }
  const commands = typeof bin === 'string' ? { [basename(run.package)]: bin } : bin
  // by Node itself, so that no shell and no `env` stands between
  return {
    command: process.execPath,
    arguments: [join(packageFolder, commands[pick(run, Object.keys(commands))]!)],
  }
}

/** Chooses the command of a package: the named one, the only one, the one named like the package, or one for MCP. */
function pick(run: Package, commands: string[]): string {
  const found =
    (run.command && commands.find((name) => name === run.command)) ??
    (commands.length === 1 ? commands[0] : undefined) ??
    commands.find((name) => name === basename(run.package)) ??
    commands.find((name) => name.includes('mcp')) ??
    commands[0]
  if (!found) throw new Refusal(`the package ${run.package} ${run.version} has no command to run`)
  return found
}
