import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const cli = join(repository, 'packages', 'cli')

/** A folder apart from `dist`, which the server under test packs and hands out. */
const bundle = join(tmpdir(), 'sandlot-test-cli')

/** The bundle, as it is published. */
export const ENTRY = join(bundle, 'main.mjs')
export const OFFICIAL_ENTRY = join(repository, 'node_modules', 'e2b-cli-official', 'dist', 'index.js')

const BUILD_TIMEOUT_MS = 120_000
const COMMAND_TIMEOUT_MS = 60_000

/** Builds the bundle, as `npm run build` does. */
export async function buildCli(): Promise<void> {
  const tsdown = join(repository, 'node_modules', '.bin', 'tsdown')
  const { code, stderr, stdout } = await end(
    spawn(tsdown, ['--out-dir', bundle], { cwd: cli, timeout: BUILD_TIMEOUT_MS }),
  )
  if (code !== 0) throw new Error(`tsdown ended with ${code}:\n${stdout}${stderr}`)
}

export interface Outcome {
  code: number
  stdout: string
  stderr: string
}

export interface RunOptions {
  env?: Record<string, string | undefined>
  /** Piped into the command; without it standard input is empty. */
  input?: string | Buffer
  cwd?: string
  entry?: string
}

/** One home for all commands of a test file, removed at the end of the file: nobody is logged in there. */
export const home = mkdtempSync(join(tmpdir(), 'e2b-home-'))
afterAll(() => rmSync(home, { recursive: true, force: true }))

/** The environment of a user who has sourced `<home>/env`; undefined takes a variable away. */
export function environment(changes: Record<string, string | undefined> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: home, TZ: 'UTC', LANG: 'C.UTF-8', ...changes }
  for (const name of ['FORCE_COLOR', 'NO_COLOR', 'DEBUG']) if (!(name in changes)) delete env[name]
  for (const [name, value] of Object.entries(changes)) if (value === undefined) delete env[name]
  return env
}

export function start(args: string[], { env, cwd, entry = ENTRY }: RunOptions = {}): ChildProcess {
  return spawn(process.execPath, [entry, ...args], {
    env: environment(env),
    cwd,
    timeout: COMMAND_TIMEOUT_MS,
  })
}

/** Runs `e2b <args>` to its end. */
export async function e2b(args: string[], options: RunOptions = {}): Promise<Outcome> {
  const child = start(args, options)
  // A command that does not read its input closes the pipe.
  child.stdin!.on('error', () => {}).end(options.input)
  return end(child)
}

export async function end(child: ChildProcess): Promise<Outcome> {
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]!.setEncoding('utf8').on('data', (chunk: string) => void (output[name] += chunk))
  }
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  if (code === null) throw new Error(`ended by ${signal}:\n${output.stdout}${output.stderr}`)
  return { code, ...output }
}

/** A sandbox for a test; `remove` ends it. */
export async function detached(args: string[] = []): Promise<{ id: string; remove(): Promise<void> }> {
  const { code, stdout, stderr } = await e2b(['sandbox', 'create', '--detach', ...args])
  if (code !== 0) throw new Error(stderr)
  const id = stdout.trim()
  return { id, remove: async () => void (await e2b(['sandbox', 'kill', id])) }
}
